"""What changes after it was stored, through the front door: conflicts, deletion, the feed."""

from __future__ import annotations

from typing import Any

from tests.mesh import Site


def test_the_feed_tells_of_every_instance_of_a_study(site: Site, sample_job: dict[str, Any]) -> None:
    last, told = 0, []
    while True:
        page = site.http.get("/dicom-web/changefeed", params={"since": last, "limit": 1000}).json()
        told += page["changes"]
        last = page["last"]
        if not page["more"]:
            break
    assert [each["sequence"] for each in told] == list(range(1, last + 1))
    assert site.http.get("/dicom-web/changefeed/latest").json()["last"] >= last
    instances = site.http.get(f"/dicom-web/studies/{sample_job['study_instance_uid']}/instances").json()
    here = {each["00080018"]["Value"][0] for each in instances}
    assert here
    assert here <= {each["SOPInstanceUID"] for each in told if each["state"] == "current"}


def test_deletion_is_off_unless_a_setting_allows_it(site: Site, sample_job: dict[str, Any]) -> None:
    study = f"/dicom-web/studies/{sample_job['study_instance_uid']}"
    reply = site.http.delete(study)
    assert (reply.status_code, reply.json()["code"]) == (403, "deletion-off")
    assert site.http.get(f"{study}/series").status_code == 200


def test_conflicts_can_be_listed(site: Site) -> None:
    reply = site.http.get("/conflicts")
    assert reply.status_code == 200
    assert isinstance(reply.json(), list)
