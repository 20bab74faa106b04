"""What comes as an upload: a whole form with files in it, checked on its way to Gradio.

Gradio (6.31) takes a form that was cut short for a whole one, or fails; it keeps text fields of any size in memory.
"""

from typing import Any

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.formparsers import MultiPartException

MOST_TEXT = 64 << 10  # bytes of text fields beside the files
FIELD = b"files"


class Refused(Exception):
    """The request is answered here, with this status and sentence."""

    def __init__(self, status: int, words: str) -> None:
        super().__init__(words)
        self.status = status


class UploadForm:
    """Reads along while Gradio reads a form; `refusal` is why it shall not be taken.

    `watched` forms are those whose progress a page shows: Gradio fails there over any text field.
    """

    refusal: Refused | None = None

    def __init__(self, content_type: bytes, *, watched: bool) -> None:
        kind, options = parse_options_header(content_type)
        boundary = options.get(b"boundary")
        if kind != b"multipart/form-data" or not boundary:
            raise Refused(400, "Expected a form of files: multipart/form-data with its boundary.")
        self._watched = watched
        self._header, self._value = b"", b""
        self._is_file, self._files, self._text, self._whole = False, 0, 0, False
        told: dict[str, Any] = {
            "on_header_field": self._on_field,
            "on_header_value": self._on_value,
            "on_header_end": self._on_header,
            "on_part_begin": self._on_part,
            "on_headers_finished": self._on_headers,
            "on_part_data": self._on_data,
            "on_end": self._on_end,
        }
        try:
            self._parser = MultipartParser(boundary, told)  # type: ignore[arg-type]
        except FormParserError as error:
            raise Refused(400, "Expected a form with a shorter boundary.") from error

    def read(self, data: bytes, more: bool) -> None:
        """The next bytes; raises what makes Gradio delete the files it has begun."""
        try:
            self._parser.write(data)
            if not more:
                self._check_end()
        except FormParserError:
            self.refusal = Refused(400, "Expected a form as browsers send it; this one cannot be read.")
        except Refused as refusal:
            self.refusal = refusal
        if self.refusal is not None:
            raise MultiPartException(str(self.refusal))

    def _check_end(self) -> None:
        if not self._whole:
            raise Refused(400, "The upload was cut short. Please send it again.")
        if not self._files:
            raise Refused(400, f"Expected at least one file in the field {FIELD.decode()}.")

    def _on_part(self) -> None:
        self._disposition = b""

    def _on_field(self, data: bytes, start: int, end: int) -> None:
        self._header += data[start:end]

    def _on_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _on_header(self) -> None:
        if self._header.lower() == b"content-disposition":
            self._disposition = self._value
        self._header = self._value = b""

    def _on_headers(self) -> None:
        _, options = parse_options_header(self._disposition)
        if not options.get(b"name"):
            raise Refused(400, "Expected a name for each field of the form.")
        self._is_file = b"filename" in options
        if self._is_file != (options[b"name"] == FIELD) or (self._watched and not self._is_file):
            raise Refused(400, f"Expected files only in the field {FIELD.decode()}, each with its file name.")
        self._files += self._is_file

    def _on_data(self, data: bytes, start: int, end: int) -> None:
        if self._is_file:
            return
        self._text += end - start
        if self._text > MOST_TEXT:
            raise Refused(413, f"Expected at most {MOST_TEXT >> 10} kB of text beside the files.")

    def _on_end(self) -> None:
        self._whole = True
