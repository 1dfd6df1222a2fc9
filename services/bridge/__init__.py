"""The DICOM network side of the mesh (PS3.8): modalities and PACS speak DIMSE here, services speak gRPC behind it.

Owns the associations: who may open one, what is accepted in it, how many there are. Answers C-ECHO, and hands every
C-STORE on to ingest as it arrives: one association is one delivery. The status that the sender gets is the status of
the durable store. Answers queries, retrievals and storage commitment out of the archive. Says which associations were
refused (`audit.recorded`) and what it was asked to commit (`commitment.requested`), which it hears again until the peer
has its report. It never decodes, re-encodes, keeps or judges a data set, and never says 0000H for what ingest has not
committed.
"""
