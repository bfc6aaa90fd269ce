"""URLs of the store: what libpq understands otherwise than its writer is refused."""

from __future__ import annotations

import pytest

from stumble.store.connect import StoreError, require_database_url


@pytest.mark.parametrize(
    "url", ["postgresql://u@h1,h2/db", "postgresql://u@h1:5432,h2/db", "host=h1,h2 port=5432,5433"]
)
def test_url_with_several_hosts_is_accepted(url: str) -> None:
    require_database_url(url)


@pytest.mark.parametrize("url", ["postgresql://u:a/b@h1/db", "postgresql://u:a@b@h1/db"])
def test_password_that_is_not_encoded_is_refused(url: str) -> None:
    with pytest.raises(StoreError, match="%2F"):
        require_database_url(url)
