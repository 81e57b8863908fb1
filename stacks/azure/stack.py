"""The stack of one deployment on Azure: group, identity, storage, key vault, firewall and nodes put together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from compiler.spec import StackSpec
from stacks.azure import baking, bringing, machines, names, network, session
from stacks.boot import BLOBS, Store
from stacks.cloud import Scope

if TYPE_CHECKING:
    import pulumi

PREFIX, CONTAINER = "skywright", "skywright"
"""Below the prefix in the container the link's objects lie."""

READER = "2a2b9908-6ea1-4ae2-8e65-a410df84e7d1"
CONTRIBUTOR = "ba92f5b4-2d11-453d-a403-e96b0029c9fe"
SECRETS_USER = "4633458b-17de-408a-b874-0445c86b69e6"
POWER = "40c5ff49-9181-41f8-ae61-143b0e78555e"
"""Azure's own roles: Storage Blob Data Reader, Storage Blob Data Contributor, Key Vault Secrets User, Desktop
Virtualization Power On Off Contributor, the smallest that lets a machine be deallocated."""


def build(spec: StackSpec) -> None:
    """Declare it all; exports `nodes` as [{rank, id, address}] and `store`, where the link's objects lie."""
    import pulumi
    from pulumi_azure_native import authorization

    subscription = session.subscription(Scope.of(spec))
    through = network.provider(spec, subscription)
    options, asking = pulumi.ResourceOptions(provider=through), pulumi.InvokeOptions(provider=through)
    group = _group(spec, subscription, options)
    if baking.only(spec):
        baking.image(spec, group, options)
        return
    where = network.place(spec, asking)
    identity, principal, client = _identity(spec, group, options, asking)
    account, container = _storage(spec, subscription, group, options)
    rights = _rights(spec, container, principal, options)
    if not spec.given.group:
        whole = f"/subscriptions/{subscription}/resourceGroups"
        scope = pulumi.Output.from_input(group).apply(lambda name: f"{whole}/{name}")
        rights.append(_assignment(spec, "ends", POWER, scope, principal, options))
    vault = None
    if spec.secrets:
        tenant = authorization.get_client_config_output(opts=asking).apply(lambda one: one.tenant_id)
        vault = _vault(spec, group, principal, tenant, options)
    # Nodes wait for it with the rest: their user data say where the store is.
    brought = bringing.bring(spec.agent, account, container, PREFIX)
    store = pulumi.Output.all(client, brought).apply(
        lambda found: Store(
            "azblob", CONTAINER, PREFIX, account=names.storage(spec, subscription), client=found[0]
        )
    )
    setting = machines.Setting(
        group, where, network.firewall(spec, group, options, asking), identity, store, vault, rights
    )
    pulumi.export("nodes", machines.nodes(spec, setting, options))
    pulumi.export("store", store.apply(lambda found: found.to_data()))
    if baking.due(spec):
        baking.image(spec, group, options)


def _kept(spec: StackSpec, path: str, version: str) -> pulumi.ResourceOptions | None:
    """What may hold a checkpoint stays when the stack goes, and the next `up` takes it on again. `path`: its id."""
    import pulumi

    from compiler.problem import Problems

    if spec.checkpoint is None:
        return None
    made = pulumi.ResourceOptions(retain_on_delete=True)
    try:
        session.ask("GET", path, f"looking for {path.rpartition('/')[2]}", query={"api-version": version})
    except Problems:  # where it cannot be asked, its creation tells
        return made
    made.import_, made.ignore_changes = path, ["tags"]
    return made


def _group(spec: StackSpec, subscription: str, options: pulumi.ResourceOptions) -> pulumi.Input[str]:
    """The resource group; a given one is only named. With a group goes all that is in it: it stays with its storage."""
    import pulumi
    from pulumi_azure_native import resources

    if spec.given.group:
        return spec.given.group
    more = _kept(spec, f"/subscriptions/{subscription}/resourceGroups/{names.group(spec)}", "2022-09-01")
    made = resources.ResourceGroup(
        "group",
        resources.ResourceGroupArgs(
            resource_group_name=names.group(spec), location=spec.region, tags=names.tags(spec)
        ),
        opts=pulumi.ResourceOptions.merge(options, more),
    )
    return made.name


def _identity(
    spec: StackSpec,
    group: pulumi.Input[str],
    options: pulumi.ResourceOptions,
    asking: pulumi.InvokeOptions,
) -> tuple[pulumi.Output[str], pulumi.Output[str], pulumi.Output[str]]:
    """The managed identity that nodes are: its id, its principal and its client id. `GROUP/NAME` of a given one."""
    from pulumi_azure_native import managedidentity

    if spec.given.role:
        where, _, name = spec.given.role.rpartition("/")
        found = managedidentity.get_user_assigned_identity_output(
            resource_group_name=where or group, resource_name=name, opts=asking
        )
        return (
            found.apply(lambda one: one.id),
            found.apply(lambda one: one.principal_id),
            found.apply(lambda one: one.client_id),
        )
    made = managedidentity.UserAssignedIdentity(
        "identity",
        resource_group_name=group,
        resource_name_=names.deployment(spec),
        location=spec.region,
        tags=names.tags(spec),
        opts=options,
    )
    return made.id, made.principal_id, made.client_id


def _storage(
    spec: StackSpec, subscription: str, group: pulumi.Input[str], options: pulumi.ResourceOptions
) -> tuple[Any, Any]:
    """The deployment's storage, closed to the public and to shared keys. One that may hold a checkpoint stays."""
    import pulumi
    from pulumi_azure_native import storage

    name = names.storage(spec, subscription)
    path = f"/subscriptions/{subscription}/resourceGroups/{names.group(spec)}/providers/Microsoft.Storage"
    path = f"{path}/storageAccounts/{name}"
    inner = f"{path}/blobServices/default/containers/{CONTAINER}"
    account = storage.StorageAccount(
        "storage",
        resource_group_name=group,
        account_name=name,
        location=spec.region,
        kind="StorageV2",
        sku=storage.SkuArgs(name="Standard_LRS"),
        allow_blob_public_access=False,
        allow_shared_key_access=False,
        minimum_tls_version="TLS1_2",
        enable_https_traffic_only=True,
        tags=names.tags(spec),
        opts=pulumi.ResourceOptions.merge(options, _kept(spec, path, "2023-05-01")),
    )
    container = storage.BlobContainer(
        "container",
        resource_group_name=group,
        account_name=account.name,
        container_name=CONTAINER,
        public_access=storage.PublicAccess.NONE,
        opts=pulumi.ResourceOptions.merge(options, _kept(spec, inner, "2023-05-01")),
    )
    return account, container


def _rights(
    spec: StackSpec, container: Any, principal: pulumi.Input[str], options: pulumi.ResourceOptions
) -> list[pulumi.Resource]:
    """Nodes read all of the container, and write what is not below `down/`: code, agents, words of control."""
    down = f"{PREFIX}/{BLOBS.partition('/')[0]}/*"
    blob = "Microsoft.Storage/storageAccounts/blobServices/containers/blobs"
    actions = " OR ".join(
        f"ActionMatches{{'{blob}/{verb}'}}" for verb in ("write", "add/action", "delete", "move/action")
    )
    condition = f"((!({actions})) OR (@Resource[{blob}:path] StringNotLike '{down}'))"
    return [
        _assignment(spec, "reads", READER, container.id, principal, options),
        _assignment(spec, "writes", CONTRIBUTOR, container.id, principal, options, condition),
    ]


def _assignment(
    spec: StackSpec,
    name: str,
    role: str,
    scope: pulumi.Input[str],
    principal: pulumi.Input[str],
    options: pulumi.ResourceOptions,
    condition: str | None = None,
) -> pulumi.Resource:
    """A role for the nodes."""
    from pulumi_azure_native import authorization

    subscription = session.subscription(Scope.of(spec))
    kind = f"/subscriptions/{subscription}/providers/Microsoft.Authorization/roleDefinitions/{role}"
    return authorization.RoleAssignment(
        name,
        role_assignment_name=names.assignment(spec, subscription, name),
        principal_id=principal,
        principal_type="ServicePrincipal",
        role_definition_id=kind,
        scope=scope,
        condition=condition,
        condition_version="2.0" if condition else None,
        opts=options,
    )


def _vault(
    spec: StackSpec,
    group: pulumi.Input[str],
    principal: pulumi.Input[str],
    tenant: pulumi.Input[str],
    options: pulumi.ResourceOptions,
) -> pulumi.Output[str]:
    """The key vault, by a name that Pulumi makes: a deleted one holds on to its name for days.

    Values are written beside Pulumi (containers.py); the output is where nodes read them.
    """
    from pulumi_azure_native import keyvault

    made = keyvault.Vault(
        "vault",
        resource_group_name=group,
        location=spec.region,
        properties=keyvault.VaultPropertiesArgs(
            tenant_id=tenant,
            sku=keyvault.SkuArgs(family="A", name=keyvault.SkuName.STANDARD),
            enable_rbac_authorization=True,
            soft_delete_retention_in_days=7,
        ),
        tags=names.tags(spec),
        opts=options,
    )
    _assignment(spec, "secrets", SECRETS_USER, made.id, principal, options)
    return made.name.apply(lambda name: f"https://{name}.vault.azure.net/secrets/")
