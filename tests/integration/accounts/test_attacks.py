"""No user changes what the contracts do not let it change, by what it publishes or what the server publishes for it."""

import pytest
from tests.integration.accounts.arena import Arena
from tests.integration.accounts.attack import USERS, of_direct_requests, of_headers, of_replies
from tests.integration.accounts.deputies import OWNERS, of_deputies


@pytest.mark.parametrize("user", USERS)
async def test_no_reply_subject_does_what_the_user_may_not_do(user: str, attacked: Arena) -> None:
    assert await attacked.withstands(user, [*of_replies(USERS[user])]) == ""


@pytest.mark.parametrize("user", USERS)
async def test_no_message_of_the_user_itself_does_what_it_may_not_do(user: str, attacked: Arena) -> None:
    assert await attacked.withstands(user, [*of_direct_requests(USERS[user]), *of_headers(USERS[user])]) == ""


@pytest.mark.parametrize("user", OWNERS)
async def test_jetstream_of_the_users_own_account_does_what_the_user_may_do_at_most(user: str, attacked: Arena) -> None:
    assert await attacked.withstands(user, [*of_deputies(user)]) == ""
