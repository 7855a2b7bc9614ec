"""The HTTP client below kfp's, with a bound on every request: the generated one waits for ever."""

from __future__ import annotations

import queue
import threading
from typing import Any

import kfp
import urllib3
from kfp_server_api.rest import RESTClientObject  # type: ignore[import-untyped]  # has no types

CONNECT = 10.0  # seconds to connect
SILENCE = 30.0  # seconds between two bytes of an answer
WHOLE = 120.0  # seconds for a request and all of its answer, with what retries there are

# A request that changes something is sent again only where it can't have arrived.
_RETRIES = urllib3.Retry(total=3, connect=2, read=1, backoff_factor=0.2)


class BoundedRest(RESTClientObject):  # type: ignore[misc]  # likewise
    """Raises TimeoutError where a request takes longer than `WHOLE`, whatever keeps it: names, bytes one at a time."""

    def request(self, *arguments: Any, **options: Any) -> Any:
        """As in the generated client, which sends everything by this method."""
        answers: queue.SimpleQueue[Any] = queue.SimpleQueue()

        def ask() -> None:
            try:
                answers.put(self._whole(*arguments, **options))
            except Exception as error:  # whatever it is, it is raised below
                answers.put(error)

        # Only a thread can be left behind: each byte that trickles in would start a time-out of the socket anew.
        threading.Thread(target=ask, daemon=True).start()
        try:
            answer = answers.get(timeout=WHOLE)
        except queue.Empty:
            raise TimeoutError(f"no whole answer within {WHOLE:.0f} seconds") from None
        if isinstance(answer, Exception):
            raise answer
        return answer

    def _whole(self, *arguments: Any, **options: Any) -> Any:
        options["_request_timeout"] = options.get("_request_timeout") or (CONNECT, SILENCE)
        answer = super().request(*arguments, **options)
        _ = answer.data  # read here, within the bound, where the caller would do so later
        return answer


def bound(client: kfp.Client) -> None:
    """Has all requests of `client` end."""
    configuration = client._existing_config
    configuration.retries = _RETRIES
    client._run_api.api_client.rest_client = BoundedRest(configuration)  # one, which all of its services share
