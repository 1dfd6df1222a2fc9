"""What we know of DICOM: parsing, DICOM JSON, UIDs, transfer syntaxes, frames, multipart, matching.

Owns the rules of the standard that every service shares. Pure: no file, no network, no clock, no project import. It
never decodes pixels and never re-encodes a data set. Exceptions carry closed reason codes, never a header's value.

    uids  transfer_syntaxes  attributes          closed tables and identifiers
    elements  values  charsets  dicom_json       data set -> DICOM JSON (PS3.18 F)
    frames  pixels  layout                       where the bytes of frames and bulk data lie
    part10  reasons                              all of it for one PS3.10 file
    multipart  accept  matching  stow  native_xml   the DICOMweb grammar (PS3.18)
"""
