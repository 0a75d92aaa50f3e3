"""The form of a server. Its secrets go one way: what is stored is never written into the page."""

from typing import Any

from django import forms

from keyspace.models import Server
from keyspace.stored_servers import Settings, find_faults

_PLAIN = (
    "environment", "read_only", "host", "port", "socket", "db", "username", "tls", "tls_check_hostname", "ca_cert", "client_cert",
)  # fmt: skip


def _mono(**more: Any) -> dict[str, Any]:
    return {"class": "mono", "autocomplete": "off", "autocapitalize": "none", "spellcheck": "false", **more}


class ServerForm(forms.ModelForm):
    """A blank secret keeps the stored one; its checkbox takes it away."""

    password = forms.CharField(
        required=False,
        strip=False,
        max_length=4096,
        widget=forms.PasswordInput(attrs=_mono(autocomplete="new-password")),
    )
    clear_password = forms.BooleanField(required=False, label="Take the stored password away")
    client_key = forms.CharField(
        required=False,
        max_length=65_536,
        label="Client key (PEM)",
        widget=forms.Textarea(attrs=_mono(rows=3)),
    )
    clear_client_key = forms.BooleanField(required=False, label="Take the stored key away")

    class Meta:
        model = Server
        fields = ("name", *_PLAIN)
        labels = {
            "read_only": "Read-only",
            "db": "db shown first",
            "tls": "Speak TLS",
            "host": "Host or address",
        }
        help_texts = {"db": ""}
        widgets = {
            **{name: forms.TextInput(attrs=_mono()) for name in ("name", "host", "socket", "username")},
            **{name: forms.NumberInput(attrs=_mono(inputmode="numeric")) for name in ("port", "db")},
            **{name: forms.Textarea(attrs=_mono(rows=3)) for name in ("ca_cert", "client_cert")},
        }

    def __init__(self, data: Any = None, *, instance: Server | None = None) -> None:
        super().__init__(data, instance=instance)
        self.has_password = bool(instance and instance.password_secret)
        self.has_client_key = bool(instance and instance.client_key_secret)
        if instance is not None:
            del self.fields["name"]
        for name, stored in (("password", self.has_password), ("client_key", self.has_client_key)):
            if stored:
                self.fields[name].help_text = "One is stored. Leave this blank to keep it."
            else:
                del self.fields[f"clear_{name}"]

    def clean_host(self) -> str:
        return str(self.cleaned_data["host"]).strip()

    def clean(self) -> dict[str, Any]:
        cleaned = super().clean() or self.cleaned_data
        if not self.errors:
            key = cleaned["client_key"] or (
                "" if cleaned.get("clear_client_key") else self.instance.client_key
            )
            for field, message in find_faults(self.settings(), client_key=key).items():
                self.add_error(field, message)
        return cleaned

    def settings(self) -> Settings:
        """What was typed, for the service."""
        plain = {name: self.cleaned_data[name] for name in _PLAIN}
        return Settings(**plain, password=self._secret("password"), client_key=self._secret("client_key"))

    def _secret(self, name: str) -> str | None:
        typed = str(self.cleaned_data[name])
        return typed if typed or self.cleaned_data.get(f"clear_{name}") else None
