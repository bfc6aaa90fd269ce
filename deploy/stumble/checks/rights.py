"""Check what Kafka's authorizer allows this connection and the principals of the roles."""

from __future__ import annotations

from collections.abc import Iterator

from confluent_kafka.admin import AclBinding

from stumble.checks.kafka import connect_cluster
from stumble.checks.model import CheckContext, CheckResult, fine, skipped, warning, wrong
from stumble.provision import acls
from stumble.settings.kafka import KafkaSettings

__all__ = ["check_rights"]


def check_rights(scope: CheckContext) -> Iterator[CheckResult]:
    """Check the rights of this connection, and compare the access rules with what each role needs."""
    kafka = scope.settings.kafka
    connect_cluster(kafka)
    try:
        rules = acls.granted(kafka)
    except acls.AclsNotVisible as error:
        yield _own(kafka)
        yield skipped("roles", str(error).removesuffix("."), "run the check as a principal that may")
        return
    if rules is None:
        yield fine("rights", "no authorizer is on: every client that reaches the brokers may do everything")
        return
    yield _own(kafka)
    for role in dict.fromkeys(item.role for item in acls.required_grants(kafka)):
        yield _of_role(kafka, role, rules)


def _own(kafka: KafkaSettings) -> CheckResult:
    missing = acls.missing_rights(kafka)
    able = [role for role, lacking in missing.items() if not lacking]
    if able:
        return fine("this connection", f"has the rights of {', '.join(able)}")
    role, lacking = min(missing.items(), key=lambda pair: len(pair[1]))
    says = f"has not all rights of any role; for {role} it lacks {', '.join(item.text for item in lacking)}"
    return wrong("this connection", says, f"stumble topics apply --grant {role}=User:NAME, as an administrator")


def _of_role(kafka: KafkaSettings, role: str, rules: list[AclBinding]) -> CheckResult:
    wanted = [item for item in acls.required_grants(kafka) if item.role == role]
    principal = kafka.principals.get(role)
    if principal is None:
        others = {rule.principal for rule in rules}
        able = sorted(one for one in others if not acls.lacking(wanted, one, rules))
        if able:
            return fine(role, f"granted to {', '.join(able)}")
        todo = f"stumble topics apply --grant {role}=User:NAME; nothing to do if a super user or nobody runs this role"
        return warning(role, "no principal has all rights that it needs", todo)
    lacking = acls.lacking(wanted, principal, rules)
    if not lacking:
        return fine(role, f"granted to {principal}")
    says = f"{principal} lacks {', '.join(item.text for item in lacking)}"
    return wrong(role, says, f"stumble topics apply --grant {role}={principal}")
