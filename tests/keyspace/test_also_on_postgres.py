"""Tests of what each database does in its own way (bytes, JSON, times, order, triggers, locks), run on Postgres as well."""

import pytest

from tests.keyspace.test_audit import (  # noqa: F401
    chain,
    test_a_changed_entry_is_found,
    test_concurrent_writers_make_one_chain,
    test_the_database_refuses_to_rewrite_the_audit,
    test_whatever_a_service_tells_the_chain_stays_whole,
)
from tests.keyspace.test_audit_entries import (  # noqa: F401
    reader,
    test_a_pattern_finds_what_redis_would,
    test_an_export_holds_no_more_than_the_page,
    test_any_key_is_found_by_its_name_as_it_is_shown,
    test_choices_are_what_there_are_entries_of,
    test_everything_is_combined,
    test_json_lines_hold_what_proves_the_chain,
    test_patterns_are_paged_both_ways,
    test_times_are_from_and_before,
    two_servers,
    write,
)
from tests.keyspace.test_audit_retention import (  # noqa: F401
    test_a_change_in_what_is_left_is_found,
    test_a_large_purge_is_done_bit_by_bit,
    test_the_database_still_refuses_to_let_others_go,
    test_the_purge_is_an_entry_itself,
    test_two_processes_do_not_purge_the_same_twice,
    test_what_is_older_than_is_kept_goes_and_the_rest_is_whole,
    written,
)
from tests.keyspace.test_job_retention import (  # noqa: F401
    test_a_backup_outlives_its_job,
    test_what_ended_too_long_ago_goes_and_the_audit_says_so,
)
from tests.keyspace.test_trash import (  # noqa: F401
    test_a_deleted_key_of_any_type_comes_back_with_its_expiry,
    test_an_act_runs_once_and_a_failed_one_may_be_sent_again,
    test_old_entries_and_those_beyond_the_size_go_oldest_first,
    test_only_who_may_edit_the_key_restores_it_and_only_who_sees_it_finds_it,
    test_the_preview_is_masked_as_the_key_is,
    test_two_at_the_same_moment_run_it_once,
    test_what_is_too_old_goes_also_while_nobody_deletes_anything,
)

pytestmark = [pytest.mark.usefixtures("on_postgres"), pytest.mark.django_db]
