"""Rules of sending on: what an operator may write, and what is refused."""

from __future__ import annotations

import pytest

from services.bridge.destinations import Entity, Root, Rule, rules
from services.bridge.exchanging import Address

SECURE = "https://pacs.example:8443/dicom-web"


@pytest.mark.parametrize("told", ["PACS", "PACS=", "=SEG", "PACS=SEGG", "A-VERY-LONG-AE-TITLE=SEG", "PACS@host=SEG"])
def test_a_rule_that_is_none_is_refused(told: str) -> None:
    with pytest.raises(ValueError, match="entry 1"):
        rules(told)


def test_rules_name_kinds_or_all_of_them() -> None:
    pacs, vna = rules("PACS=seg SR, VNA=*")
    assert pacs == Rule(Entity("PACS"), frozenset(("SEG", "SR")))
    assert vna.kinds > {"PDF", "KO"}
    assert rules("") == ()


def test_a_destination_is_a_peer_an_entity_with_its_address_or_the_root_of_a_dicomweb_service() -> None:
    found = rules(f"PACS=SEG, VNA@10.1.2.3:104=SR, {SECURE}/=*, https://PACS.example:8443/dicom-web=KO")
    assert [one.destination for one in found] == [
        Entity("PACS"),
        Entity("VNA", Address("10.1.2.3", 104)),
        Root(SECURE),
    ]
    root = found[2].destination
    assert isinstance(root, Root)
    assert (root.host, root.secure) == ("pacs.example", True)


def test_a_destination_that_is_named_twice_gets_the_kinds_of_both_entries_but_has_one_address() -> None:
    (pacs,) = rules("PACS=SEG, PACS=SR")
    assert pacs.kinds == {"SEG", "SR"}
    with pytest.raises(ValueError, match="entry 2 gives an AE title another address"):
        rules("PACS@10.1.2.3:104=SEG, PACS=SR")


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("https://", "not a URL"),
        ("https://pacs.example:none/", "not a URL"),
        ("https://pacs.example/dicom web", "not a URL"),
        ("https://operator:secret@pacs.example/dicom-web", "more than scheme, host, port and path"),
        ("https://pacs.example/dicom-web?token", "more than scheme, host, port and path"),
        ("https://pacs.example/dicom-web/studies/", "without /studies"),
        ("http://pacs.example/dicom-web", "not https"),
        ("http://10.1.2.3/dicom-web", "not https"),
        ("ftp://pacs.example/dicom-web", "16 characters"),
    ],
)
def test_a_url_that_is_no_root_or_would_send_in_the_clear_is_refused_without_being_quoted(url: str, words: str) -> None:
    with pytest.raises(ValueError, match="entry 2 ") as refused:
        rules(f"PACS=SEG, {url}=SEG")
    assert words in str(refused.value)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:8042", "[::1]:8042"])
def test_this_machine_may_be_reached_without_tls(host: str) -> None:
    (rule,) = rules(f"http://{host}/dicom-web=SEG")
    assert rule.destination == Root(f"http://{host}/dicom-web")


@pytest.mark.parametrize("plain", ["pacs.example", "pacs.example:80"])
def test_another_host_may_where_the_operator_says_so(plain: str) -> None:
    assert rules("http://pacs.example/dicom-web=SEG", plain_hosts=[plain])
    with pytest.raises(ValueError, match="not https"):
        rules("http://pacs.example:8080/dicom-web=SEG", plain_hosts=["pacs.example:80"])
