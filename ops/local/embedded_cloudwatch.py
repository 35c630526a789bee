"""ministack's CloudWatch with its gaps closed: alarms as AWS evaluates them, and the metrics of SQS and Lambda.

As embedded_main.py, for ministack's own interpreter alone. Metrics out of log lines are not its matter but that of the
metrics bridge (metrics.py).
"""

# ruff: noqa: SLF001 - a gap is closed where it is, and that has no public name

import logging
import threading
import time
from contextlib import suppress
from functools import partial
from typing import Any

from embedded_alarms import evaluate  # type: ignore[import-not-found]  # beside this file, which is run as a script's
from ministack import app  # type: ignore[import-not-found]  # lives in an environment of its own
from ministack.services import cloudwatch, cloudwatch_logs, lambda_svc, sqs  # type: ignore[import-not-found]

ALARM_SECONDS = 1.0  # AWS takes a minute
QUEUE_SECONDS = 10.0  # as above
RETENTION_SECONDS = 24 * 3600  # AWS: 15 days. No alarm of one's own looks back further than a day

_emit_logs = lambda_svc._emit_lambda_logs
_evict = cloudwatch._evict_old_metrics
_filter_log = cloudwatch_logs._filter_log_events
_counting = threading.Lock()


def install() -> None:
    """Close the gaps; before ministack's `main`."""
    cloudwatch.TWO_WEEKS_SECONDS = RETENTION_SECONDS
    cloudwatch._evict_old_metrics = lambda: None  # it walks through all points, at each request
    cloudwatch._evaluate_alarm = lambda _alarm: None  # one place alone evaluates, so that no transition is told twice
    cloudwatch.record_metric = _record_by_minute
    cloudwatch_logs._filter_log_events = _filter_recent
    lambda_svc._emit_lambda_metrics = _count_throttle
    lambda_svc._emit_lambda_logs = _log_and_count
    for work, seconds in ((_evaluate_alarms, ALARM_SECONDS), (_publish_queues, QUEUE_SECONDS), (_evict, 60.0)):
        threading.Thread(target=_repeat, args=(work, seconds), daemon=True).start()


def _repeat(work: Any, seconds: float) -> None:
    """Have the serving loop do ``work`` every so often: there nothing else changes what it looks at."""
    while True:
        time.sleep(seconds)
        if app._MAIN_LOOP is not None:
            with suppress(RuntimeError):  # it has ended
                app._MAIN_LOOP.call_soon_threadsafe(work)


def _evaluate_alarms() -> None:
    """AWS looks at each alarm's own metric by period, whether or not data arrives."""
    for alarm in cloudwatch._alarms.values():
        if not alarm.get("MetricName"):
            continue
        try:
            _evaluate(alarm)
        except Exception:
            logging.getLogger("cloudwatch").exception("alarm %s cannot be evaluated", alarm["AlarmName"])


def _evaluate(alarm: Any) -> None:
    dimensions = cloudwatch._dims_key(cloudwatch._dims_from_list(alarm["Dimensions"]))
    points = cloudwatch._metrics.get((alarm["Namespace"], alarm["MetricName"], dimensions), [])
    verdict = evaluate(alarm, points, time.time(), partial(_statistic, alarm))
    if verdict is None or verdict.state == alarm["StateValue"]:
        return
    old = alarm["StateValue"]
    alarm |= {
        "StateValue": verdict.state,
        "StateReason": verdict.reason,
        "StateUpdatedTimestamp": int(time.time()),
    }
    cloudwatch._record_history(alarm["AlarmName"], old, verdict.state, verdict.reason)
    cloudwatch._dispatch_alarm_actions(alarm, old, verdict.state, verdict.reason)
    cloudwatch._evaluate_parent_alarms(alarm)


def _statistic(alarm: Any, points: Any) -> Any:
    name, stats = alarm.get("ExtendedStatistic") or alarm.get("Statistic"), cloudwatch._calc_stats(points)
    return cloudwatch._stat_value(stats, name, points) if stats else None


def _record_by_minute(
    namespace: str, metric_name: str, value: float, unit: str = "None", dimensions: dict[str, str] | None = None
) -> None:
    """What AWS's services publish comes by the minute, as statistics; ministack keeps each value for itself."""
    minute, named = time.time() // 60 * 60, dict(dimensions or {})
    with _counting:
        points = cloudwatch._metric_bucket((namespace, metric_name, cloudwatch._dims_key(named)))
        if points and points[-1]["Timestamp"] == minute and "_stat" in points[-1]:
            known = points[-1]["_stat"]
            known["SampleCount"] += 1
            known["Sum"] += value
            known["Minimum"] = min(known["Minimum"], value)
            known["Maximum"] = max(known["Maximum"], value)
            return
        first = {"SampleCount": 1, "Sum": value, "Minimum": value, "Maximum": value}
        points.append({"Timestamp": minute, "Value": value, "Unit": unit, "Dimensions": named, "_stat": first})


def _log_and_count(
    func: Any, request_id: str, log_text: str, error: bool, duration_ms: int, *, log_source: Any = None
) -> None:
    """AWS counts every invocation; ministack those of Invoke alone, and no errors of queues, streams and events."""
    _emit_logs(func, request_id, log_text, error, duration_ms, log_source=log_source)
    name = (func.get("config") or func)["FunctionName"]
    _count_for(name, Invocations=1, Errors=int(error), Throttles=0)
    _record_by_minute("AWS/Lambda", "Duration", duration_ms, "Milliseconds", {"FunctionName": name})


def _count_throttle(function_name: str, duration_ms: float, error: bool, throttle: bool) -> None:  # noqa: ARG001
    """What is left of ministack's own counting: an execution refused for its concurrency, which takes no time."""
    if throttle and duration_ms == 0:
        _count_for(function_name, Throttles=1)


def _count_for(function_name: str, **counts: int) -> None:
    for metric, count in counts.items():
        _record_by_minute("AWS/Lambda", metric, count, "Count", {"FunctionName": function_name})


def _publish_queues() -> None:
    """AWS publishes how many messages wait in a queue and how old the oldest of them is; ministack neither."""
    now = time.time()
    for queue in sqs._queues.values():
        messages, name = queue["messages"], {"QueueName": queue["name"]}
        visible = sum(message["visible_at"] <= now for message in messages)
        # AWS leaves out those that were received three times and more: it takes them to be poison.
        oldest = min((one["sent_at"] for one in messages if one["receive_count"] < 3), default=now)
        _record_by_minute("AWS/SQS", "ApproximateNumberOfMessagesVisible", visible, "Count", name)
        _record_by_minute("AWS/SQS", "ApproximateAgeOfOldestMessage", now - oldest, "Seconds", name)


def _filter_recent(data: dict[str, Any]) -> Any:
    """ministack makes a stream of each invocation and looks into all at each call; those that ended before may be left.

    The metrics bridge asks every second or two, and after some hours there are tens of thousands of streams.
    """
    group = cloudwatch_logs._log_groups.get(cloudwatch_logs._resolve_log_group_name(data))
    since = data.get("startTime")
    if group is None or since is None or data.get("logStreamNames"):
        return _filter_log(data)
    streams = list(group["streams"].items())  # functions that end add theirs meanwhile
    recent = [name for name, stream in streams if (stream["lastEventTimestamp"] or 0) >= since]
    return _filter_log(data | {"logStreamNames": recent or [""]})  # none is not all
