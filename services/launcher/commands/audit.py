"""`plexus audit`: show, verify, prove and check, witness, erase.

The log is asked by HTTP; what is checked here believes nothing that it says but what its key has signed.

Exit codes: 0, it holds; 1, it could not be found out; 3, it does not hold.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import httpx
import typer
from rich.console import Console
from rich.table import Table

from services.audit import merkle, notes, proofs, witness
from services.audit.adapters.key_file import read_seed
from services.audit.errors import KeyFileError
from services.audit.merkle import ProofError
from services.audit.notes import Key, Kind, NoteError, Signer
from services.audit.proofs import Proof
from services.audit.tiles import ReadTile, Tile, TileMissingError, TreeOfTiles
from services.launcher.commands import tables
from services.launcher.errors import EdgeError, LauncherError
from services.launcher.mesh import Mesh

DOES_NOT_HOLD = 3
_FLAWS = {
    "gap": "is not there, and later ones are",
    "content": "does not say what it said when it was written",
    "index": "would be found by something else than what it says",
    "erased": "was emptied, and no record tells who did it",
    "cut": "was there when the log was signed, and is not any more",
    "tree": "is not in the tree as it was signed",
    "tile": "has another hash in the tiles, or none",
    "checkpoint": "is the last; the signature over the log is missing or not right",
}

Data = Annotated[Path | None, typer.Option("--data", help="The data folder (PLEXUS_DATA; default .plexus).")]
Url = Annotated[str | None, typer.Option("--url", help="The log's address, such as http://host:8080/audit.")]
KeyOption = Annotated[
    str | None, typer.Option("--key", help="The log's verifier key, or a file with it; default: this mesh's own.")
]


def commands(  # noqa: PLR0915  # commands, one after another
    command: Callable[..., Any], running: Callable[[Path | None, int | None], Mesh], console: Console
) -> typer.Typer:
    """The commands, for `plexus`.

    Args:
        command: what makes one of a function.
        running: the running mesh of a data folder.
    """
    app = typer.Typer(help="The log of accesses: show, verify, prove, witness, erase.", no_args_is_help=True)

    def client(url: str | None, data: Path | None) -> httpx.Client:
        base = (url or running(data, None).url("edge") + "/audit").rstrip("/")
        return httpx.Client(base_url=base, timeout=None, follow_redirects=True)  # noqa: S113  # a large log takes its time

    @app.command("list")
    @command
    def show(  # noqa: PLR0917  # typer reads a command's options from its parameters
        patient: Annotated[str | None, typer.Option(help="Only of studies of this Patient ID.")] = None,
        study: Annotated[str | None, typer.Option(help="Only of this Study Instance UID.")] = None,
        user: Annotated[str | None, typer.Option(help="Only what this caller did.")] = None,
        action: Annotated[str | None, typer.Option(help="Only this: store, query, retrieve, …")] = None,
        destination: Annotated[str | None, typer.Option(help="Only what went to this AE title.")] = None,
        since: Annotated[str | None, typer.Option("--from", help="Not before this time (RFC 3339).")] = None,
        until: Annotated[str | None, typer.Option("--to", help="Before this time.")] = None,
        limit: Annotated[int, typer.Option(help="At most so many, newest first.")] = 50,
        form: Annotated[str, typer.Option("--format", help="table, json, dicom or fhir.")] = "table",
        url: Url = None,
        data: Data = None,
    ) -> None:
        """Print records, newest first. That they were read is itself recorded."""
        asked = {"patient": patient, "study": study, "user": user, "action": action, "from": since, "to": until}
        asked["destination"] = destination
        params = {name: value for name, value in asked.items() if value} | {"limit": str(limit)}
        params["format"] = "json" if form == "table" else form
        with client(url, data) as http:
            reply = _answer(http.get("", params=params))
        match form:
            case "table":
                console.print(table(reply.json()["records"]), soft_wrap=not console.is_terminal)
            case "json":
                print(json.dumps(reply.json()["records"], indent=2, ensure_ascii=False))
            case _:
                print(reply.text)

    @app.command()
    @command
    def verify(
        since: Annotated[
            Path | None, typer.Option(help="A checkpoint file of this log: look at what came after it.")
        ] = None,
        key: KeyOption = None,
        url: Url = None,
        data: Data = None,
    ) -> int:
        """Look at every record, tile and signature; with --since, whether the log still continues a checkpoint."""
        with client(url, data) as http:
            trusted = _key(key, http)
            earlier = _text(since) if since else ""
            told = http.post("/verify", content=earlier, headers={"Content-Type": "text/plain"}) if since else None
            verdict = _answer(told or http.get("/verify")).json()
            found = verdict["broken"]
            if found is None:
                try:
                    _check_signed(verdict["checkpoint"], earlier, trusted, _reader(http))
                except (NoteError, ProofError, TileMissingError) as error:
                    console.print(f"[bold red]The log does not hold:[/] {error}.", highlight=False)
                    return DOES_NOT_HOLD
        if found:
            several = f" to {found['until']}" if found["until"] > found["seq"] else ""
            named = f" ({found['record_id']})" if found["record_id"] else ""
            console.print(
                f"[bold red]The log does not hold:[/] record {found['seq']}{several}{named} {_FLAWS[found['flaw']]}.",
                highlight=False,
            )
            return DOES_NOT_HOLD
        _, checkpoint = notes.opened(verdict["checkpoint"], trusted)
        console.print(
            f"The log holds: {verdict['records'] - verdict['since']} records"
            + (f" after the {verdict['since']} of the checkpoint" if since else "")
            + f"; signed by {trusted.name} at {checkpoint.size}, root {checkpoint.root.hex()}.",
            highlight=False,
            soft_wrap=True,
        )
        if not verdict["guarded"]:
            console.print("[bold red]But the database does not refuse changes:[/] its triggers are off.")
            return DOES_NOT_HOLD
        return 0

    @app.command()
    @command
    def prove(
        record: Annotated[str, typer.Argument(metavar="ID", help="The record_id, as `plexus audit list` shows it.")],
        output: Annotated[Path | None, typer.Option("--output", "-o", help="The file; default: ID.tlog-proof.")] = None,
        url: Url = None,
        data: Data = None,
    ) -> None:
        """Write a proof that a record is in the log. It holds the record, and verifies offline."""
        with client(url, data) as http:
            text = _answer(http.get(f"/records/{record}/proof")).text
        path = output or Path(f"{Path(record).name}.tlog-proof")
        path.write_text(text, encoding="utf-8")
        console.print(f"{path}: verify it with: plexus audit check {path} --key KEY", highlight=False, soft_wrap=True)

    @app.command()
    @command
    def check(
        file: Annotated[Path, typer.Argument(metavar="FILE", help="What `plexus audit prove` wrote.")],
        key: Annotated[str, typer.Option("--key", help="The log's verifier key, or a file with it.")],
        witnesses: Annotated[
            list[str] | None,
            typer.Option("--witness", help="A witness that has to have signed, or a file with its key."),
        ] = None,
    ) -> int:
        """Check a proof, offline: nothing but the file and the key is needed."""
        try:
            proof = Proof.parse(_text(file))
            _, checkpoint = proofs.check(proof, _parsed(key), [_parsed(each) for each in witnesses or ()])
        except (ProofError, NoteError) as error:
            console.print(f"[bold red]The proof does not hold:[/] {error}.", highlight=False)
            return DOES_NOT_HOLD
        console.print(
            f"The proof holds: record {proof.index + 1} of the {checkpoint.size} that {checkpoint.origin} has signed.",
            highlight=False,
        )
        print(proof.record.decode() if proof.salt else "Its content was erased before the proof was made.")
        return 0

    @app.command("witness")
    @command
    def cosign(  # noqa: PLR0917  # as above
        url: Annotated[str, typer.Option("--url", help="The log's address, such as https://hospital/audit.")],
        key: Annotated[str, typer.Option("--key", help="The log's verifier key, or a file with it.")],
        folder: Annotated[
            Path, typer.Option("--folder", help="What this witness keeps: its key, the last checkpoint.")
        ],
        name: Annotated[str, typer.Option(help="The witness's name, best an address without its scheme.")],
        every: Annotated[float, typer.Option(help="Look again after so many seconds; 0: once.")] = 0,
        submit: Annotated[bool, typer.Option(help="Hand the signature to the log, for its proofs.")] = True,
    ) -> int:
        """Be a witness at a second site: see that the log only grows, and sign what was seen (cosignature/v1)."""
        try:
            signer = Signer(name, Kind.WITNESS, read_seed(folder / "witness.key", make=True))
        except KeyFileError as error:
            raise LauncherError(error.reason) from error
        console.print(f"witness key: {signer.key}", highlight=False, soft_wrap=True)
        with client(url, None) as http:
            while True:
                code = _look(http, _parsed(key), signer, folder, submit=submit, console=console)
                if code or not every:
                    return code
                time.sleep(every)

    @app.command()
    @command
    def erase(  # noqa: PLR0917  # as above
        patient: Annotated[str, typer.Option(help="Of all studies of this Patient ID.")] = "",
        study: Annotated[str, typer.Option(help="Of this Study Instance UID.")] = "",
        user: Annotated[str, typer.Option(help="What this caller did.")] = "",
        record: Annotated[str, typer.Option(help="This record.")] = "",
        yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
        url: Url = None,
        data: Data = None,
    ) -> None:
        """Erase what records say of a person, for good. Proofs stay valid; each erasure is itself recorded."""
        if not yes:
            typer.confirm(
                "What is erased cannot be brought back, and who saw what is no longer answered. Go on?", abort=True
            )
        asked = {"patient": patient, "study": study, "user": user, "record": record}
        with client(url, data) as http:
            erased = _answer(http.post("/erase", json=asked)).json()["erased"]
        console.print(f"{erased} records erased.", highlight=False)

    @app.command("key")
    @command
    def tell_key(url: Url = None, data: Data = None) -> None:
        """Print the log's verifier key, for those who check proofs and for witnesses."""
        with client(url, data) as http:
            print(_answer(http.get("/key")).text.strip())

    return app


def _look(http: httpx.Client, log: Key, signer: Signer, folder: Path, *, submit: bool, console: Console) -> int:
    """One look of a witness."""
    kept = folder / "checkpoint"
    data = _answer(http.get("/checkpoint")).text
    try:
        last = kept.read_text(encoding="utf-8") if kept.exists() else ""
        seen = witness.look(data, last, log=log, witness=signer, read=_reader(http), now=time.time)
    except (NoteError, ProofError, TileMissingError) as error:
        refused = folder / f"refused-{int(time.time())}"
        refused.write_text(data, encoding="utf-8")  # with the last one kept, the evidence
        console.print(f"[bold red]Not signed:[/] {error}. What the log showed is in {refused}.", highlight=False)
        return DOES_NOT_HOLD
    partial = kept.with_name(".checkpoint")
    partial.write_text(str(seen.note), encoding="utf-8")
    partial.replace(kept)
    console.print(f"signed: {seen.checkpoint.size} records, {seen.checkpoint.size - seen.before} new", highlight=False)
    if submit:
        reply = http.post("/cosignatures", content=str(seen.note), headers={"Content-Type": "text/plain"})
        if reply.is_error:
            console.print("The log does not take the signature: it does not know this witness.", style="yellow")
    return 0


def _check_signed(checkpoint: str, earlier: str, key: Key, read: ReadTile) -> None:
    """Whether the log's tiles are those that its key has signed, then and now: not what it says, what it shows."""
    _, signed = notes.opened(checkpoint, key)
    tree = TreeOfTiles(signed.size, read)
    if tree.root != signed.root:
        raise ProofError("the log's tiles are not those that it has signed")
    if earlier:
        _, before = notes.opened(earlier, key)
        path = merkle.consistency_path(before.size, signed.size, tree.range_hash)
        merkle.check_consistency(before.size, signed.size, before.root, signed.root, path)


def _reader(http: httpx.Client) -> ReadTile:
    """Tiles over HTTP."""

    def read(tile: Tile) -> bytes:
        for each in (tile, tile.wide(256)):  # a partial one may have become full
            reply = http.get(f"/{each.path}")
            if reply.is_success and len(reply.content) >= tile.width * tile.unit:
                return reply.content[: tile.width * tile.unit]
        raise TileMissingError(tile)

    return read


def _key(given: str | None, http: httpx.Client) -> Key:
    return _parsed(given) if given else Key.parse(_answer(http.get("/key")).text)


def _parsed(key: str) -> Key:
    try:
        return Key.parse(_text(Path(key)) if "+" not in key else key)
    except NoteError as error:
        raise LauncherError(f"{error}: a key is name+id+key, as `plexus audit key` prints it") from error


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeError) as error:
        raise LauncherError(f"{path} cannot be read ({type(error).__name__})") from error


def table(records: list[dict[str, Any]]) -> Table:
    """Records for a person: who did what to which study, and how it ended."""
    headings = ("at", "who", "from", "what", "to", "outcome", "instances", "study")
    shown = tables.plain(*headings, right=("instances",), whole=headings)
    for each in records:
        outcome = each.get("outcome", "")
        shown.add_row(
            str(each.get("at", ""))[:23].replace("T", " "),
            each.get("caller", ""),
            each.get("source", ""),
            f"{each.get('action', '')} {each.get('detail', '')}".strip(),
            f"{each.get('destination', '')} {each.get('destination_address', '')}".strip(),
            outcome if outcome == "success" else f"[yellow]{outcome} {each.get('reason_code', '')}[/]",
            str(each.get("instances") or ""),
            each.get("study_instance_uid", ""),
        )
    return shown


def _answer(reply: httpx.Response) -> httpx.Response:
    if reply.is_success:
        return reply
    try:
        reason = str(reply.json()["detail"])
    except (ValueError, KeyError):
        reason = f"status {reply.status_code}"
    raise EdgeError(f"the log answered: {reason}")
