"""Runs scenarios by name and reports their results."""

import sys
import traceback


def run(suite, scenarios):
    """All of them, or those named on the command line; exits with 1 if one failed or none ran."""
    wanted = [scenario for scenario in scenarios if not sys.argv[1:] or scenario.__name__ in sys.argv[1:]]
    failed = 0
    for scenario in wanted:
        try:
            scenario()
            print(f"ok      {scenario.__name__}", flush=True)
        except Exception:
            failed += 1
            print(f"FAILED  {scenario.__name__}", flush=True)
            traceback.print_exc()
    print(f"{suite}: {len(wanted) - failed} passed, {failed} failed")
    sys.exit(1 if failed or not wanted else 0)
