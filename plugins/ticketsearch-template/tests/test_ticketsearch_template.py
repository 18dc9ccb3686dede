from ticketsearch.testing import StrategyContract

from ticketsearch_template import TemplateSearch


class TestTemplateSearch(StrategyContract):
    """Every check of the contract, a test each."""

    strategy = TemplateSearch
