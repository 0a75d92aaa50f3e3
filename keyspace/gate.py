"""The ways through which services are called, one for each kind of function: check, run, record the end."""

import inspect
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing
from dataclasses import replace
from typing import Any

from keyspace import audit

Service = Callable[..., Any]
CallOf = Callable[[Any, Any, Any], audit.Call]


def way_through(service: Service, call_of: CallOf) -> Service:
    """`service` with its check before and its audit entry after; `call_of(subject, args, kwargs)`
    describes one call.
    """
    if inspect.iscoroutinefunction(service):
        return _async_way(service, call_of)
    if inspect.isasyncgenfunction(service):
        return _async_items_way(service, call_of)
    if inspect.isgeneratorfunction(service):
        return _items_way(service, call_of)
    return _plain_way(service, call_of)


def _plain_way(service: Service, call_of: CallOf) -> Service:
    def checked(subject: Any, *args: Any, **kwargs: Any) -> Any:
        with audit.entry(call_of(subject, args, kwargs)):
            return service(subject, *args, **kwargs)

    return checked


def _async_way(service: Service, call_of: CallOf) -> Service:
    async def checked(subject: Any, *args: Any, **kwargs: Any) -> Any:
        async with audit.async_entry(call_of(subject, args, kwargs)):
            return await service(subject, *args, **kwargs)

    return checked


def _items_way(service: Service, call_of: CallOf) -> Service:
    """Refused at the call, before a response can begin; recorded when the items end."""

    def checked(subject: Any, *args: Any, **kwargs: Any) -> Iterator[Any]:
        call = call_of(subject, args, kwargs)
        with audit.entry(replace(call, loud=False)):
            items = service(subject, *args, **kwargs)
        return audit.watch(call, items)

    return checked


def _async_items_way(service: Service, call_of: CallOf) -> Service:
    """Refused before the first item, where the refusal can be written off the event loop."""

    async def checked(subject: Any, *args: Any, **kwargs: Any) -> AsyncIterator[Any]:
        call = call_of(subject, args, kwargs)
        async with audit.async_entry(replace(call, loud=False)):
            items = service(subject, *args, **kwargs)
        async with aclosing(audit.async_watch(call, items)) as watched:
            async for item in watched:
                yield item

    return checked
