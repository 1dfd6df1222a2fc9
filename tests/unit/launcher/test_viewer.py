"""OHIF, proved and moved under /viewer."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from services.launcher.errors import SetupError
from services.launcher.setup import viewer


@pytest.fixture
def build(tmp_path: Path) -> Path:
    (tmp_path / "index.html").write_text(
        '<script>window.PUBLIC_URL="/"</script><link href="/app.css"><script src="/app.bundle.js"></script>'
        '<script rel="preload" type="module" src="/init-service-worker.js"></script><meta content="/assets/a.png">'
    )
    (tmp_path / "app.css").write_text("src:url(/0123456789abcdef.woff2)")
    (tmp_path / "app.bundle.js").write_text("a\n__webpack_require__.p = \"/\";\nbrowserImportFunction('/x.js')")
    return tmp_path


def test_every_asset_is_asked_for_under_viewer(build: Path) -> None:
    viewer.move_under_viewer(build)
    page = (build / "index.html").read_text()
    assert 'PUBLIC_URL="/viewer/"' in page
    assert 'src="/viewer/app.bundle.js"' in page
    assert 'content="/viewer/assets/a.png"' in page
    assert "service-worker" not in page
    assert (build / "app.css").read_text() == "src:url(/viewer/0123456789abcdef.woff2)"
    assert '__webpack_require__.p = "/viewer/"' in (build / "app.bundle.js").read_text()
    assert "browserImportFunction('/viewer/x.js')" in (build / "app.bundle.js").read_text()


def test_a_build_that_is_not_as_we_know_it_is_refused(build: Path) -> None:
    (build / "app.bundle.js").write_text("nothing to replace")
    with pytest.raises(SetupError, match="cannot be moved"):
        viewer.move_under_viewer(build)


def test_a_package_with_another_digest_is_refused(tmp_path: Path) -> None:
    package = tmp_path / "app.tgz"
    package.write_bytes(b"not OHIF")
    with pytest.raises(SetupError, match="sha512 differs"):
        viewer.prove(package)


def test_the_extension_is_where_the_configuration_says() -> None:
    (named,) = re.findall(r"extensions: \['/viewer/(.+)'\]", viewer.CONFIGURATION.read_text())
    assert named in viewer.own()
    for name, path in viewer.own().items():
        for imported in re.findall(r"from '\./(.+)'", path.read_text()):
            assert f"{Path(name).parent}/{imported}" in viewer.own(), name


def test_what_is_ours_is_laid_anew_without_fetching_the_build_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(viewer, "FOLDER", tmp_path)
    monkeypatch.setattr(viewer, "_STAMP", tmp_path / "plexus-stamp")
    monkeypatch.setenv("PATH", "")  # no npm
    (tmp_path / "plexus-stamp").write_text(viewer._identity())
    (tmp_path / "plexus").mkdir()
    (tmp_path / "plexus" / "of-old.js").write_text("")
    step = viewer.step()
    assert not step.done()
    step.make()
    assert step.done()
    assert {f"plexus/{path.name}" for path in (tmp_path / "plexus").iterdir()} < set(viewer.own())


def test_the_version_and_the_digest_are_pinned() -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+", viewer.VERSION)
    assert re.fullmatch(r"sha512-[A-Za-z0-9+/]{86}==", viewer.INTEGRITY)


def test_what_is_ours_in_the_viewer_asks_nobody_outside() -> None:
    for path in viewer.own().values():
        assert "://" not in path.read_text(), path
    text = viewer.CONFIGURATION.read_text()
    for root in ("qidoRoot", "wadoRoot", "wadoUriRoot"):
        assert f"{root}: '/dicom-web'" in text
