"""Signed notes, against the vectors of golang.org/x/mod/sumdb/note and of the C2SP specifications."""

from __future__ import annotations

import base64

import pytest

from services.audit import notes
from services.audit.notes import Checkpoint, Key, Kind, Note, NoteError, Signer

# golang.org/x/mod/sumdb/note, note_test.go
PETER = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
PETERS_SEED = base64.b64decode("AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz")[1:]
TEXT = "If you think cryptography is the answer to your problem,\nthen you don't know what your problem is.\n"
SIGNED = TEXT + (
    "\n\u2014 PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n"  # noqa: E501
)
# C2SP signed-note.md and tlog-cosignature.md: examples, whose keys are not published
QUASIMODO = (
    "Ognuno sta solo sul cuor della terra\ntrafitto da un raggio di sole:\n\ned è subito sera.\n\n"
    "\u2014 quasimodo.example/salvatore NnugSzTjtVAewIS+Z/iJhUPeFDkO/5QQ2i5ddnGITLlC+EhfLW9oJKONrMouFSQU0xMcXxj99ihAQwaqP3ZekRwNtIc=\n"  # noqa: E501
)
COSIGNED = (
    "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n"
    "\u2014 example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n"  # noqa: E501
    "\u2014 witness.example.com/w1 jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2oyin1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA==\n"  # noqa: E501
)


def test_the_published_key_signs_the_published_note_byte_for_byte() -> None:
    signer = Signer("PeterNeumann", Kind.LOG, PETERS_SEED)
    assert str(signer.key) == PETER
    assert Key.parse(PETER) == signer.key
    assert str(Note(TEXT, (signer.sign(TEXT),))) == SIGNED
    assert Note.parse(SIGNED).signed_by(signer.key)


@pytest.mark.parametrize("published", [SIGNED, QUASIMODO, COSIGNED])
def test_a_published_note_is_read_and_written_as_it_was(published: str) -> None:
    assert str(Note.parse(published)) == published


def test_the_published_checkpoint_is_read_with_the_time_of_its_witness() -> None:
    note = Note.parse(COSIGNED)
    checkpoint = Checkpoint.parse(note.text)
    assert (checkpoint.origin, checkpoint.size, checkpoint.text) == (
        "example.com/behind-the-sofa",
        20852163,
        note.text,
    )
    assert notes.cosigned_at(note.signatures[1]) == 1679315147


def test_a_changed_text_or_signature_is_found() -> None:
    key = Key.parse(PETER)
    with pytest.raises(NoteError):
        Note.parse(SIGNED.replace("cryptography", "cryptographY")).signed_by(key)
    with pytest.raises(NoteError):
        Note.parse(SIGNED.replace("x08go/ZJ", "x08go/ZK")).signed_by(key)
    assert Note.parse(SIGNED.replace("PeterNeumann", "PaulNeumann")).signed_by(key) is None


@pytest.mark.parametrize(
    "text",
    ["", "text\n", "text\n\n", "text\n\n\u2014 a b", TEXT + "\n\u2014 name !!!\n", TEXT + "\n- name eDA4Z28=\n",
     TEXT + "\n\u2014 name eDA4\n", "a\tb\n\n\u2014 name eDA4Z28vWg==\n"],
)  # fmt: skip
def test_what_is_no_note_is_refused(text: str) -> None:
    with pytest.raises(NoteError):
        Note.parse(text)


@pytest.mark.parametrize(
    "text",
    ["", "PeterNeumann", "PeterNeumann+c74f20a4+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW",
     "PeterNeumann+cc469956+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TWBADKEY==",
     "PeterNeumann+173116ae+ZRpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"],
)  # fmt: skip
def test_what_is_no_key_is_refused(text: str) -> None:
    with pytest.raises(NoteError):
        Key.parse(text)


@pytest.mark.parametrize("text", ["a\n1\n", "a\n01\n" + "A" * 43 + "=\n", "a\n1\nAAAA\n", "\n1\n" + "A" * 43 + "=\n"])
def test_what_is_no_checkpoint_is_refused(text: str) -> None:
    with pytest.raises(NoteError):
        Checkpoint.parse(text)


def test_a_witness_signs_what_it_saw_and_when() -> None:
    log, witness = Signer("log.example", Kind.LOG, bytes(32)), Signer("w.example", Kind.WITNESS, bytes([1] * 32))
    text = Checkpoint("log.example", 7, bytes(32)).text
    note = Note(text, (log.sign(text),)).with_signatures(witness.sign(text, at=1_790_000_000))
    signature = Note.parse(str(note)).signed_by(witness.key)
    assert signature is not None
    assert notes.cosigned_at(signature) == 1_790_000_000
    later = note.with_signatures(witness.sign(text, at=1_790_000_001))
    assert len(later.signatures) == 2
    moved = str(note).replace("w.example ", "v.example ")
    assert Note.parse(moved).signed_by(witness.key) is None
    assert notes.opened(str(note), log.key)[1].size == 7
    with pytest.raises(NoteError, match="another log"):
        notes.opened(str(note), witness.key)
    with pytest.raises(NoteError, match="not signed"):
        notes.opened(str(note), Signer("log.example", Kind.LOG, bytes([9] * 32)).key)
