"""Records as other systems want them: DICOM audit messages (PS3.15 A.5) and FHIR R4 AuditEvents (IHE BALP). Pure."""
