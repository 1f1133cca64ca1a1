"""The guards of who may do what, of schedules and of sums (see ``test_teeth``)."""

from typing import Final

from tests.guards.teeth.guard import Guard

TABLES: Final = "migrations/sql/0001/00_tables.sql"
GUARDS: Final = (
    Guard(
        "what is done from the dashboard is done by whom it is allowed to",
        "web/dashboard/actions/registry.py",
        "    if not user.may(wanted.role):\n",
        "    if False:\n",
        "tests/browser/test_security.py::test_a_role_is_looked_up_at_each_action",
    ),
    Guard(
        "an operator alone sends nothing where no run needs approval",
        "web/dashboard/actions/runs.py",
        '.approval == "never" and',
        '.approval == "nothing" and',
        "tests/browser/test_security.py::test_an_operator_alone_sends_nothing_where_no_run_needs_approval",
    ),
    Guard(
        "what another site has a browser send is refused",
        "web/dashboard/gate.py",
        "        if self._foreign(scope, headers):\n",
        "        if False:\n",
        "tests/browser/test_security.py::test_what_another_site_has_a_browser_send_is_refused",
    ),
    Guard(
        "each fire of a sweep happens once",
        TABLES,
        "    CONSTRAINT pk_schedule_fires PRIMARY KEY (name, fire_at)",
        "    CONSTRAINT pk_schedule_fires CHECK (true)",
        "tests/domain/schedules/test_service.py::test_a_fire_by_hand_is_as_of_business_time",
    ),
    Guard(
        "a sum that is kept waits for whoever drew an older id",
        "domain/ledger/rollups.py",
        "    while drawing:",
        "    while False:",
        "tests/domain/ledger/test_rollups.py::test_a_row_that_is_committed_late_is_counted_before_and_after",
    ),
)
