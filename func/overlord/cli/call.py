"""`func SPEC call MODULE METHOD ARGS`: call any method, and wait for it or not."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from func.config import load_async_methods
from func.errors import FuncError
from func.overlord.cli import job
from func.overlord.cli.context import Context, gather, parser
from func.overlord.cli.output import add_shapes, print_value
from func.overlord.client import Client, as_func_value
from func.overlord.facts import AND, OR, read_query

SUMMARY = "call a method: call virt freemem"


def run(context: Context, words: Sequence[str]) -> int:
    """Call a method and print {minion: value}; or begin a job, or tell of one."""
    options = _parser()
    wishes = options.parse_args(words)
    if wishes.delegate:
        raise FuncError("calls through other overlords (-d) are not supported")
    about_job = wishes.jobid or wishes.jobstatus or wishes.logone or wishes.progress
    if about_job:
        return _about_job(context, options, wishes)
    if len(wishes.words) < 2:
        options.error("a module and a method are needed, e.g.: call virt freemem")
    module, method, *args = wishes.words
    forced = f"{module}.{method}" in load_async_methods(context.root)
    in_background = wishes.asynchronous or wishes.nopoll or forced
    with context.client(port=wishes.port, async_=in_background) as client:
        client = _narrowed(client, wishes)
        if wishes.verbose:
            print(f"calling {module}.{method} on {', '.join(client.targets())}", file=sys.stderr)
        if in_background:
            return _begin(context, client, wishes)
        results = gather(client, module, method, args)
    print_value({result.minion: as_func_value(result) for result in results}, wishes.shape)
    return context.status(all(result.error is None for result in results))


def _begin(context: Context, client: Client, wishes: argparse.Namespace) -> int:
    module, method, *args = wishes.words
    job_id = client.run(module, method, args)
    if wishes.nopoll:
        return job.show_id(job_id, wishes.shape)
    output = job.Output(wishes.shape, wishes.sort, wishes.logpoll)
    return context.status(job.follow(client, job_id, output))


def _about_job(context: Context, options: argparse.ArgumentParser, wishes: argparse.Namespace) -> int:
    """What is asked of a job that was begun earlier; its id is --jobid's, or the only word."""
    if len(wishes.words) != (0 if wishes.jobid else 1):
        options.error("which job? one id is needed, as `call -n` printed it")
    job_id = wishes.jobid or wishes.words[0]
    with context.client(port=wishes.port) as client:
        if wishes.logone:
            return job.follow_output(client, job_id, wishes.logone)
        if wishes.progress:
            return job.follow_progress(client, job_id, wishes.progress)
        return job.show_status(context, client, job_id, wishes.shape)


def _narrowed(client: Client, wishes: argparse.Namespace) -> Client:
    if wishes.filter:
        return client.set_complexq(read_query(wishes.filter, AND))
    if wishes.filteror:
        return client.set_complexq(read_query(wishes.filteror, OR))
    return client


def _parser() -> argparse.ArgumentParser:
    options = parser("call", "Call a method. Arguments are strings.")
    options.usage = "func SPEC call [options] MODULE METHOD [ARG ...]"
    add_shapes(options)
    options.add_argument("--port", type=_port, help="port the minions listen on")
    options.add_argument("-f", "--forks", metavar="N", help="without effect: calls are always parallel")
    options.add_argument("--sort", action="store_true", help="with -a: wait for all and print them at once")
    options.add_argument(
        "-a", "--async", dest="asynchronous", action="store_true",
        help="run it in the background of the minions, and wait; for what takes long",
    )  # fmt: skip
    options.add_argument("-n", "--nopoll", action="store_true", help="the same, but print the job's id")
    options.add_argument("-l", "--logpoll", action="store_true", help="with -a: show what the method prints")
    about = options.add_mutually_exclusive_group()
    about.add_argument("--jobid", metavar="ID", help="tell how this job stands")
    about.add_argument("-s", "--jobstatus", action="store_true", help="the same; the id is the only argument")
    about.add_argument("-o", "--logone", metavar="MINION", help="show what a job's method prints there")
    about.add_argument("-r", "--progress", metavar="MINION", help="show how far a job's method is there")
    only = options.add_mutually_exclusive_group()
    only.add_argument("--filter", metavar="FACTS", help="only where all of this is so: os=Fedora,cpus>=4")
    only.add_argument("--filteror", metavar="FACTS", help="only where some of this is so")
    options.add_argument("-d", "--delegate", action="store_true", help=argparse.SUPPRESS)
    options.add_argument("words", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    return options


def _port(text: str) -> int:
    port = int(text)
    if not 0 < port < 65536:
        raise argparse.ArgumentTypeError(f"{text}: a port is a number from 1 to 65535")
    return port
