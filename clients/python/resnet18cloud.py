"""A client for ResNet18Cloud's dispatcher: one file, standard library only, Python 3.9 or later.

    from resnet18cloud import Client

    client = Client("http://127.0.0.1:8080")
    print(client.predict("goldfinch.jpg").predictions)

Copy the file into your project. docs/clients.md has more examples, docs/api.md every field and error code. A client may be
used by several threads at a time.
"""

from __future__ import annotations

import base64
import dataclasses
import datetime
import hashlib
import hmac
import http.client
import json
import os
import pathlib
import random
import ssl
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
from typing import Any, Dict, Iterable, Iterator, List, Mapping, Optional, Sequence, Tuple, Union

__all__ = ["Client", "Error", "Image", "Item", "Outcome", "Result", "Score", "Ticket", "read_batch_webhook", "read_webhook"]

#: What methods take as an image: the path of a file, or Image.
Source = Union[str, "os.PathLike[str]", "Image"]

_PASSING = ("full", "unavailable", "rate_limited", "lost")  # codes of errors whose cause may pass
_CODES = {400: "invalid", 401: "unauthorized", 403: "forbidden", 404: "not_found", 409: "conflict", 413: "too_large",
          415: "unsupported", 422: "undecodable", 429: "rate_limited", 502: "unavailable", 503: "unavailable", 504: "deadline"}
_WATCH_ATTEMPTS = 12  # to open a stream in a row without receiving anything: a dispatcher that restarts is back by then
_FIRST_PAUSE = 0.2  # seconds, doubled after each attempt, if the server does not say how long to wait


class Error(Exception):
    """A request that the server refused, an image that it could not classify, or a server that does not answer.

    code is one of those in docs/api.md, such as "full" or "undecodable", or "unreachable" if there was no answer or not that of
    a dispatcher: the message names the server, and __cause__ is what happened. status is the HTTP status, 0 for an outcome
    and without an answer; hint says how to fix it; retry_after is the seconds after which a retry may succeed, 0 if unknown.

    All methods of Client raise only this, except for images that cannot be read (OSError) and wrong arguments (TypeError).
    """

    def __init__(self, code: str, message: str, hint: str = "", retry_after: float = 0, status: int = 0) -> None:
        super().__init__(message + (f" ({hint})" if hint else ""))
        self.code, self.message, self.hint, self.retry_after, self.status = code, message, hint, retry_after, status


@dataclasses.dataclass(frozen=True)
class Image:
    """The bytes of an image file, with a name for them in results."""

    name: str
    content: bytes

    @staticmethod
    def of(source: Source) -> Image:
        """Reads a file, unless source is an Image."""
        if isinstance(source, Image):
            return source
        path = pathlib.Path(source)
        return Image(path.name, path.read_bytes())


@dataclasses.dataclass(frozen=True)
class Score:
    """One class: its number in the model's order, its label, logit, and probability (None if the model has none)."""

    index: int
    label: str
    logit: float
    probability: Optional[float]


@dataclasses.dataclass(frozen=True)
class Result:
    """What a replica found in an image: predictions (labels, best first) with scores, or an embedding. raw has all fields."""

    filename: str
    predictions: List[str]
    scores: List[Score]
    embedding: List[float]
    model: str
    timing: Dict[str, float]  # seconds by stage
    warning: str  # set if the result is meaningless, as with random weights
    raw: Dict[str, Any]

    @staticmethod
    def of(body: Dict[str, Any]) -> Result:
        """Reads the JSON of a result."""
        scores = [Score(s["index"], s["label"], s["logit"], s.get("probability")) for s in body.get("scores") or []]
        return Result(body.get("filename", ""), body.get("predictions") or [], scores, body.get("embedding") or [],
                      body.get("model", ""), body.get("timing") or {}, body.get("warning", ""), body)


@dataclasses.dataclass(frozen=True)
class Ticket:
    """The answer to an accepted image. result is set if the cache had it; estimated_wait is in seconds, None if unknown."""

    request_id: str
    from_cache: bool
    estimated_wait: Optional[float]
    result: Optional[Result]

    @staticmethod
    def of(body: Dict[str, Any]) -> Ticket:
        """Reads the JSON of an accepted image."""
        result = Result.of(body["result"]) if body.get("result") else None
        return Ticket(body["request_id"], bool(body.get("from_cache")), body.get("estimated_wait"), result)


@dataclasses.dataclass(frozen=True)
class Item:
    """One image of a batch: the server accepted it (ticket), or refused it (error)."""

    filename: str
    ticket: Optional[Ticket]
    error: Optional[Error]


@dataclasses.dataclass(frozen=True)
class Outcome:
    """The state of a request: "queued", "processing", "completed", "failed", "cancelled", or "missing" in watch. raw has all fields."""

    request_id: str
    status: str
    filename: str
    result: Optional[Result]
    error: Optional[Error]
    queued_at: Optional[datetime.datetime]
    completed_at: Optional[datetime.datetime]
    raw: Dict[str, Any]

    @staticmethod
    def of(body: Dict[str, Any]) -> Outcome:
        """Reads the JSON of GET /result/{id}."""
        result = Result.of(body["result"]) if body.get("result") else None
        error = Error(body.get("code", "internal"), body["error"], body.get("hint", "")) if body.get("error") else None
        return Outcome(body.get("request_id", ""), body.get("status", ""), body.get("filename", ""), result, error,
                       _time(body.get("queued_at")), _time(body.get("completed_at")), body)

    @property
    def ended(self) -> bool:
        """Whether the request will not change any more."""
        return self.status in ("completed", "failed", "cancelled", "missing")

    def answer(self) -> Result:
        """Returns the result, or raises the error with which the request ended."""
        if self.result is not None:
            return self.result
        if self.error is not None:
            raise self.error
        if self.status == "cancelled":
            raise Error("cancelled", "Request was cancelled")
        raise Error("conflict", f"Request has not ended: it is {self.status}", "use wait")


class Client:
    """Sends requests to one dispatcher, or to a load balancer before several.

    url        address of the dispatcher, such as "http://127.0.0.1:8080"
    token      of a key, for servers that run with --keys; white space around it is left out
    ca         PEM file of the authority that signed the server's certificate; None means those of the system
    attempts   how often a request is sent at most; it is sent again if its cause passes: no room in the queue (after the
               time that the server asks for), a broken connection if that does no harm
    max_pause  longest pause between two attempts in seconds; if the server asks for more, the error is raised
    timeout    seconds without a byte from the server after which a connection counts as dead
    """

    def __init__(self, url: str, token: Optional[str] = None, ca: Optional[str] = None, attempts: int = 5,
                 max_pause: float = 30, timeout: float = 90) -> None:
        if not url.startswith(("http://", "https://")):
            raise Error("invalid", f"{url!r} is not the URL of a server", 'for example "http://127.0.0.1:8080"')
        self.url, self.attempts, self.max_pause, self.timeout = url.rstrip("/"), attempts, max_pause, timeout
        self._headers = {"Authorization": f"Bearer {token.strip()}"} if token else {}
        handlers: List[urllib.request.BaseHandler] = [_NoRedirects()]
        if self.url.startswith("https:"):
            handlers.append(urllib.request.HTTPSHandler(context=ssl.create_default_context(cafile=ca)))
        self._open = urllib.request.build_opener(*handlers).open

    def predict(self, image: Source, top_k: Optional[int] = None, model: Optional[str] = None, **options: Any) -> Result:
        """Sends an image and waits for its labels, the top_k best ones (5). options are those of submit."""
        return self._answer("/predict", image, {"top_k": top_k, "model": model}, options)

    def embed(self, image: Source, normalize: bool = False, model: Optional[str] = None, **options: Any) -> Result:
        """Sends an image and waits for its 512 features, of length 1 if normalize is set. options are those of submit."""
        return self._answer("/embed", image, {"normalize": "true" if normalize else None, "model": model}, options)

    def submit(self, image: Source, top_k: Optional[int] = None, model: Optional[str] = None, **options: Any) -> Ticket:
        """Sends an image and returns when the server has stored it; see wait and watch for its result.

        Options of all methods that send images: deadline (seconds from arrival after which the result is of no use),
        priority ("interactive" or "bulk"), idempotency_key: requests with the same key and image are the same one, and
        webhook: a URL to which the server sends the outcome, see read_webhook.
        """
        body = self._send("/predict_async", [Image.of(image)], {"top_k": top_k, "model": model}, options)
        return Ticket.of(body)

    def submit_batch(self, images: Iterable[Source], top_k: Optional[int] = None, model: Optional[str] = None,
                     **options: Any) -> List[Item]:
        """Sends images in one request, at most as many as the server allows (100), and returns one item for each.

        The option batch_webhook is a URL for one message about all of them, see read_batch_webhook.

        The default priority is bulk. Images that were refused for lack of room are sent again, one after the other. With an
        idempotency_key, image i has the key "KEY/i".
        """
        batch = [Image.of(i) for i in images]
        query = {"top_k": top_k, "model": model}
        options = {"priority": "bulk", **options}
        answers = self._send("/predict_batch", batch, query, options, "items")["items"]
        items = []
        for i, image in enumerate(batch):
            body = answers[i] if i < len(answers) else {"error": "the server did not read the image", "code": "invalid"}
            if not body.get("error"):
                items.append(Item(image.name, Ticket.of(body), None))
                continue
            error = Error(body.get("code", "internal"), body["error"], body.get("hint", ""), body.get("retry_after", 0))
            pause = self._pause(1, error, True)
            if pause is None:
                items.append(Item(image.name, None, error))
                continue
            time.sleep(pause)
            alone = dict(options)
            if alone.pop("batch_webhook", None):
                alone["webhook"] = options["batch_webhook"]  # it is not in the message about the batch
            if options.get("idempotency_key"):
                alone["idempotency_key"] = f"{options['idempotency_key']}/{i}"
            try:
                items.append(Item(image.name, Ticket.of(self._send("/predict_async", [image], query, alone)), None))
            except Error as late:
                items.append(Item(image.name, None, late))
        return items

    def result(self, request_id: str, wait: float = 0) -> Outcome:
        """Returns the state of a request; waits until it has ended, up to wait seconds, at most a minute."""
        query = {"wait": f"{wait}s"} if wait > 0 else {}
        return Outcome.of(self._call("GET", f"/result/{urllib.parse.quote(request_id, safe='')}", query))

    def wait(self, request_id: str) -> Outcome:
        """Waits until a request has ended."""
        while True:
            outcome = self.result(request_id, wait=20)
            if outcome.ended:
                return outcome

    def cancel(self, request_id: str) -> Outcome:
        """Cancels a request. One that has ended raises an Error with the code "conflict"."""
        return Outcome.of(self._call("DELETE", f"/result/{urllib.parse.quote(request_id, safe='')}"))

    def watch(self, *request_ids: str) -> Iterator[Outcome]:
        """Yields the state of each request and then its changes, until all have ended; at most as many as a batch may have.

        Connections that break are opened again, so it outlives a restart of the dispatcher. A request that does not exist
        has the status "missing".
        """
        last, failures = "", 0
        while request_ids:
            try:
                for name, last, body in self._events(request_ids, last):
                    failures = 0
                    if name == "end":
                        return
                    if name in ("progress", "result", "missing"):
                        yield Outcome.of({"status": "missing", **body} if name == "missing" else body)
                return  # nothing is left
            except (Error, OSError, http.client.HTTPException) as error:
                failures += 1
                pause = self._pause(failures, error, True, max(self.attempts, _WATCH_ATTEMPTS))
                if pause is None:
                    raise self._named(error) from error
                time.sleep(pause)

    def results(self, limit: int = 100) -> List[Outcome]:
        """Returns the most recently changed requests that the client may see, newest first."""
        return [Outcome.of(body) for body in self._call("GET", "/results", {"limit": limit}, need="results")["results"]]

    def labels(self, model: Optional[str] = None) -> List[str]:
        """Returns the model's labels in the order of Score.index; an empty list if it has none."""
        return self._call("GET", "/labels", {"model": model}).get("labels") or []

    def models(self) -> Dict[str, Any]:
        """Returns the models of the server, as in GET /models."""
        return self._call("GET", "/models")

    def status(self) -> Dict[str, Any]:
        """Returns the server's state, as in GET /status."""
        return self._call("GET", "/status")

    def ready(self) -> bool:
        """Reports whether the server can classify images now."""
        try:
            self._once("GET", "/health/ready", {}, None, {})
            return True
        except (Error, OSError, http.client.HTTPException) as error:
            if isinstance(error, Error) and error.status == 503:
                return False
            raise self._named(error) from error

    def webhook_secret(self) -> str:
        """Returns the secret with which the server signs this client's webhooks, for read_webhook."""
        return self._call("GET", "/webhook-secret", need="secret")["secret"]

    def _answer(self, path: str, image: Source, query: Dict[str, Any], options: Dict[str, Any]) -> Result:
        body = self._send(path, [Image.of(image)], query, options)
        if body.get("predictions") or body.get("embedding"):
            return Result.of(body)
        if not body.get("request_id"):
            raise self._foreign("a result")
        return self.wait(body["request_id"]).answer()  # it took longer than the server holds a request

    def _send(self, path: str, images: Sequence[Image], query: Dict[str, Any], options: Dict[str, Any],
              need: str = "") -> Dict[str, Any]:
        content_type, form = _form(images)
        headers = {"Content-Type": content_type}
        for option, value in options.items():
            if option not in _OPTIONS:
                raise TypeError(f"there is no option {option!r}: use {', '.join(_OPTIONS)}")
            if value is not None:
                headers[_OPTIONS[option]] = str(value)
        return self._call("POST", path, query, form, headers, need or ("request_id" if path.endswith("_async") else ""))

    def _call(self, method: str, path: str, query: Optional[Dict[str, Any]] = None, body: Optional[bytes] = None,
              headers: Optional[Dict[str, str]] = None, need: str = "") -> Dict[str, Any]:
        """Sends a request, again if it may succeed later, and returns the JSON of the answer, which must have the field need."""
        headers = headers or {}
        harmless = method != "POST" or "Idempotency-Key" in headers  # if the server has received it before
        attempt = 0
        while True:
            attempt += 1
            try:
                text = self._once(method, path, query or {}, body, headers)
                break
            except (Error, OSError, http.client.HTTPException) as error:
                pause = self._pause(attempt, error, harmless)
                if pause is None:
                    raise self._named(error) from error
            time.sleep(pause)
        try:
            answer = json.loads(text)
        except ValueError as error:
            raise self._foreign("JSON") from error
        if not isinstance(answer, dict) or need and need not in answer:
            raise self._foreign(need or "an object")
        return answer

    def _named(self, error: BaseException) -> Error:
        """Returns an error to raise: one of the connection becomes an Error that names the server."""
        if isinstance(error, Error):
            return error
        reason = getattr(error, "reason", None) or error
        if isinstance(reason, ssl.SSLCertVerificationError):
            return Error("unreachable", f"the certificate of {self.url} is not trusted: {reason.verify_message}",
                         'name the authority that signed it: Client(url, ca="ca.crt")')
        return Error("unreachable", f"no server answers at {self.url}: {reason}",
                     "start one with 'resnet18cloud up', or check the address")

    def _foreign(self, missing: str) -> Error:
        """Returns the error for an answer that is not a dispatcher's."""
        return Error("unreachable", f"{self.url} does not answer as a dispatcher: the answer is without {missing}", "check the address")

    def _pause(self, attempt: int, error: BaseException, harmless: bool, attempts: int = 0) -> Optional[float]:
        """Returns how long to wait before the next attempt in seconds, or None if the error is final."""
        if attempt >= (attempts or self.attempts):
            return None
        pause = min(_FIRST_PAUSE * 2 ** min(attempt - 1, 16), self.max_pause)
        if isinstance(error, Error):
            if error.code not in _PASSING:
                return None
            if error.retry_after > self.max_pause:
                return None
            pause = error.retry_after or pause
        elif isinstance(getattr(error, "reason", None), ssl.SSLCertVerificationError):
            return None
        elif not harmless and not isinstance(getattr(error, "reason", None), ConnectionRefusedError):
            return None
        return pause * (1 + random.random() / 4)  # so that clients that were refused together do not come back together

    def _once(self, method: str, path: str, query: Dict[str, Any], body: Optional[bytes], headers: Dict[str, str]) -> bytes:
        with self._request(method, path, query, body, headers) as response:
            return response.read()

    def _request(self, method: str, path: str, query: Dict[str, Any], body: Optional[bytes],
                 headers: Dict[str, str]) -> http.client.HTTPResponse:
        given = {name: value for name, value in query.items() if value is not None}
        url = self.url + path + ("?" + urllib.parse.urlencode(given) if given else "")
        request = urllib.request.Request(url, data=body, headers={**self._headers, **headers}, method=method)
        try:
            return self._open(request, timeout=self.timeout)
        except urllib.error.HTTPError as refused:
            with refused:
                raise _refusal(refused) from None

    def _events(self, request_ids: Sequence[str], last: str) -> Iterator[Tuple[str, str, Dict[str, Any]]]:
        """Yields the events of one connection as name, ID and data."""
        path, query = "/results/events", {"ids": ",".join(request_ids)}
        if len(request_ids) == 1:
            path, query = f"/result/{urllib.parse.quote(request_ids[0], safe='')}/events", {}
        headers = {"Last-Event-ID": last} if last else {}
        with self._request("GET", path, query, None, headers) as response:
            if response.status == 204:
                return
            name, data = "", ""
            for line in response:
                field, _, value = line.decode().rstrip("\r\n").partition(":")
                value = value[1:] if value.startswith(" ") else value
                if field == "event":
                    name = value
                elif field == "id":
                    last = value
                elif field == "data":
                    data = value
                elif not line.strip() and data:
                    yield name, last, json.loads(data)
                    name, data = "", ""
        raise ConnectionResetError("the stream ended too early")


def read_webhook(secret: str, headers: Mapping[str, str], body: bytes, tolerance: float = 300) -> Outcome:
    """Checks the signature of a webhook and returns the outcome of the request.

    headers are those of the request, in any mapping that ignores case, such as http.server's. It raises ValueError if the body
    was not signed with the secret, or if it was sent more than tolerance seconds ago. A webhook may arrive more than once: the
    header Webhook-Id is then the same.
    """
    message = _signed(secret, headers, body, tolerance)
    if "items" in message:
        raise ValueError("the message is about a batch: use read_batch_webhook")
    return Outcome.of(message)


def read_batch_webhook(secret: str, headers: Mapping[str, str], body: bytes, tolerance: float = 300) -> List[Outcome]:
    """Is read_webhook for the message about a batch (batch_webhook of submit_batch), and returns the outcomes of its images."""
    message = _signed(secret, headers, body, tolerance)
    if "items" not in message:
        raise ValueError("the message is about one image: use read_webhook")
    return [Outcome.of(item) for item in message["items"]]


def _signed(secret: str, headers: Mapping[str, str], body: bytes, tolerance: float) -> Dict[str, Any]:
    """Checks the signature of a message and returns its JSON."""
    message, sent = headers.get("Webhook-Id") or "", headers.get("Webhook-Timestamp") or ""
    if not sent.isdigit() or abs(time.time() - int(sent)) > tolerance:
        raise ValueError("the webhook was sent at another time")
    key = base64.b64decode(secret[len("whsec_"):] if secret.startswith("whsec_") else "")
    if len(key) < 24:
        raise ValueError("the secret is not one of webhook_secret()")
    digest = hmac.new(key, f"{message}.{sent}.".encode() + body, hashlib.sha256).digest()
    want = "v1," + base64.b64encode(digest).decode()
    signatures = (headers.get("Webhook-Signature") or "").encode().split()
    if not any([hmac.compare_digest(s, want.encode()) for s in signatures]):
        raise ValueError("the webhook's signature is not valid")
    return json.loads(body)


_OPTIONS = {"deadline": "X-Request-Timeout", "priority": "X-Priority", "idempotency_key": "Idempotency-Key", "webhook": "X-Webhook",
            "batch_webhook": "X-Batch-Webhook"}


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """Refuses redirects, which would carry the token elsewhere."""

    def redirect_request(self, *_: Any) -> None:
        """Makes the redirect an HTTPError."""
        return None


def _refusal(response: urllib.error.HTTPError) -> Error:
    """Returns the error in an answer. Other servers may send only a status."""
    try:
        body = json.loads(response.read(1 << 20))
    except ValueError:
        body = {}
    if not isinstance(body, dict):
        body = {}
    retry_after = body.get("retry_after", 0)
    if not retry_after and (response.headers.get("Retry-After") or "").isdigit():
        retry_after = float(response.headers["Retry-After"])
    code = body.get("code") or _CODES.get(response.code, "internal")
    server = urllib.parse.urlsplit(response.url)
    message = body.get("error") or f"{server.scheme}://{server.netloc} answers {response.code} {response.reason}"
    return Error(code, message, body.get("hint", ""), retry_after, response.code)


def _form(images: Sequence[Image]) -> Tuple[str, bytes]:
    """Returns a form with the images, and its Content-Type."""
    boundary = uuid.uuid4().hex
    parts = []
    for image in images:
        # As browsers do: quotes and line breaks are escaped, everything else is UTF-8.
        name = image.name.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")
        parts += [f'--{boundary}\r\nContent-Disposition: form-data; name="image"; filename="{name}"\r\n'
                  "Content-Type: application/octet-stream\r\n\r\n".encode(), image.content, b"\r\n"]
    parts.append(f"--{boundary}--\r\n".encode())
    return f"multipart/form-data; boundary={boundary}", b"".join(parts)


def _time(text: Optional[str]) -> Optional[datetime.datetime]:
    """Reads a time of the API."""
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")) if text else None
