"""`stumble keys generate`."""

from __future__ import annotations

from stumble.signatures.signing import RecordSigner
from stumble.signatures.verification import load_public_keys
from tests.support.command import stumble


def test_generated_key_and_printed_line_fit_together(tmp_path):
    done = stumble("keys", "generate", "--host", "cmp1", "--host", "cmp1.example.org", "--directory", str(tmp_path))
    assert done.returncode == 0, done.stderr
    (private,) = tmp_path.glob("*.pem")
    assert str(private) in done.stderr
    public = tmp_path / "keys.toml"
    public.write_text(f"[keys]\n{done.stdout}")
    key = load_public_keys(public).keys[RecordSigner(private).key_id]
    assert key.hosts == {"cmp1", "cmp1.example.org"}


def test_wrong_host_or_directory_is_one_sentence(tmp_path):
    for arguments, text in (
        (("--host", 'a"b', "--directory", str(tmp_path)), "is not a host name"),
        (("--host", "a", "--directory", str(tmp_path / "missing")), "does not exist"),
    ):
        done = stumble("keys", "generate", *arguments)
        assert done.returncode != 0
        assert text in done.stderr
        assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []
