"""What a replay knows of a campaign's terms: everything that a call takes from them."""

from typing import Any

import pytest

from centralita.replay import decisions
from contracts import Call, CampaignTerms
from contracts.examples import CALL


def test_the_terms_of_a_decision_have_every_field_that_a_call_takes_from_its_campaign(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    given: dict[str, Any] = {}

    def note(**fields: Any) -> CampaignTerms:
        given.update(fields)
        return CampaignTerms(**fields)

    monkeypatch.setattr(decisions, "CampaignTerms", note)
    call = CALL.model_copy(update={"has_tools": True})
    assert decisions.terms_in(call).tools is not None
    assert given.keys() >= (CampaignTerms.model_fields.keys() & Call.model_fields.keys()) | {"tools"}
