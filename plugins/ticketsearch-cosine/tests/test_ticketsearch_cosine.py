import pytest

from ticketsearch.testing import check_encoding, check_strategy

from ticketsearch_cosine import Cosine


@pytest.mark.parametrize("terms", [1, 12])
def test_the_encoding_keeps_its_contract(terms: int) -> None:
    check_encoding(Cosine, settings={"terms": terms}).require()


@pytest.mark.parametrize("searcher", ["cma-es", "ga"])
def test_searchers_take_it_by_name(searcher: str) -> None:
    settings = {"encoding": "ticketsearch_cosine:Cosine"}
    check_strategy(searcher, settings=settings, checks=["exact-count", "same-seed", "granularities"]).require()
