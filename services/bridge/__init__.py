"""The DICOM network side of the mesh (PS3.8): modalities and PACS speak DIMSE here, services speak gRPC behind it.

Owns the associations: who may open one, what is accepted in it, how many there are. Answers C-ECHO, and hands every
C-STORE on to ingest as it arrives: one association is one delivery. The status that the sender gets is the status of
the durable store. Hears no event and says none. It never decodes, re-encodes, keeps or judges a data set, and never
says 0000H for what ingest has not committed.
"""
