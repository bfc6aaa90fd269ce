"""Stands for exceptions of libraries that Nova's environment does not have: with the real names of module and class."""

from __future__ import annotations


class ImageNotFound(Exception):
    """`rbd.ImageNotFound`: Nova has a class of this name, too."""

    __module__ = "rbd"


class libvirtError(Exception):  # noqa: N801
    """`libvirt.libvirtError`."""

    __module__ = "libvirt"


class NotFound(Exception):
    """`ironicclient.exc.NotFound`: Nova has a class of this name, too."""

    __module__ = "ironicclient.exc"
