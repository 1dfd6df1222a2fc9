"""The settings of the bridge."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from services.bridge.bootstrap import keys_of
from services.bridge.settings import Settings
from services.chassis.faults import PermanentFault


def test_the_defaults_are_safe() -> None:
    settings = Settings()
    assert settings.dimse_host == "127.0.0.1"
    assert not settings.any_called_ae_title
    assert not settings.accept_unknown_sop_classes
    assert settings.network_timeout_seconds > settings.store_timeout_seconds


def test_calling_ae_titles_are_separated_by_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLEXUS_BRIDGE_CALLING_AE_TITLES", "CT 1, PACS,")
    assert Settings().calling_ae_titles == {"CT 1", "PACS"}


@pytest.mark.parametrize("title", ["", " ", "SEVENTEEN CHARACT", "A\\B", "ÄE"])
def test_an_impossible_ae_title_is_refused(monkeypatch: pytest.MonkeyPatch, title: str) -> None:
    monkeypatch.setenv("PLEXUS_BRIDGE_AE_TITLE", title)
    with pytest.raises(ValidationError):
        Settings()


def test_there_has_to_be_a_port(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLEXUS_BRIDGE_DIMSE_PLAIN", "false")
    with pytest.raises(ValidationError, match="nowhere to listen"):
        Settings()


def test_tls_needs_a_certificate_and_its_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLEXUS_BRIDGE_DIMSE_TLS_PORT", "2762")
    with pytest.raises(ValidationError, match="tls_certificate"):
        Settings()
    monkeypatch.setenv("PLEXUS_BRIDGE_TLS_CERTIFICATE", "/tls/own.pem")
    monkeypatch.setenv("PLEXUS_BRIDGE_TLS_KEY", "/tls/own.key")
    assert Settings().dimse_tls_port == 2762


def test_results_go_to_entities_and_to_dicomweb_services_by_tls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLEXUS_BRIDGE_SEND_RESULTS", "PACS=SEG, https://pacs.example/dicom-web=*")
    assert [rule.destination.name for rule in Settings().rules] == ["PACS", "https://pacs.example/dicom-web"]
    monkeypatch.setenv("PLEXUS_BRIDGE_SEND_RESULTS", "http://pacs.example/dicom-web=*")
    with pytest.raises(ValidationError, match="send_results: entry 1 is not https"):
        Settings()
    monkeypatch.setenv("PLEXUS_BRIDGE_STOW_PLAIN_HOSTS", "vna.example, pacs.example")
    assert len(Settings().rules) == 1


def test_our_certificate_for_services_needs_its_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLEXUS_BRIDGE_STOW_CERTIFICATE_FILE", "/tls/own.pem")
    with pytest.raises(ValidationError, match="stow_key_file"):
        Settings()


def test_a_file_that_should_open_a_service_and_is_missing_is_told_at_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PLEXUS_BRIDGE_STOW_CA_FILE", "/nowhere/ca.pem")
    monkeypatch.setenv("PLEXUS_BRIDGE_SEND_RESULTS", "PACS=*, http://localhost/dicom-web=*")
    assert keys_of(Settings()).ca_file
    monkeypatch.setenv("PLEXUS_BRIDGE_SEND_RESULTS", "https://pacs.example/dicom-web=*")
    with pytest.raises(PermanentFault, match="STOW-RS is not usable"):
        keys_of(Settings())
