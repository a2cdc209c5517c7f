# SPDX-License-Identifier: GPL-2.0-only
"""Netlink for the programs of ./, in few lines: in the guest, time goes into what is imported.

Attributes are (type, bytes), nested ones bytes that are attributes again; all numbers are in host
order, as netlink(7) has it. What the kernel refuses is OSError with its number and its words.
"""
import contextlib
import os
import socket
import struct

NETLINK_ROUTE, NETLINK_GENERIC = 0, 16
SOL_NETLINK, ADD_MEMBERSHIP, EXT_ACK = 270, 1, 11
NLM_F_REQUEST, NLM_F_ACK, NLM_F_DUMP = 1, 4, 0x300
NLM_F_CREATE, NLM_F_EXCL = 0x400, 0x200
NLM_F_CAPPED, NLM_F_ACK_TLVS = 0x100, 0x200
NLMSG_ERROR, NLMSG_DONE = 2, 3
NLMSGERR_ATTR_MSG = 1
NLA_F_NESTED = 0x8000
GENL_ID_CTRL, CTRL_CMD_GETFAMILY = 16, 3
CTRL_ATTR_FAMILY_ID, CTRL_ATTR_FAMILY_NAME, CTRL_ATTR_MCAST_GROUPS = 1, 2, 7
CTRL_ATTR_MCAST_GRP_ID = 2

CLONE_NEWNET = 0x40000000
MS_BIND = 4096
NAMESPACES = "/run/netns/"


def u32(data):
    return struct.unpack("=I", data)[0]


def u64(data):
    return struct.unpack("=Q", data)[0]


def text(data):
    return data.rstrip(b"\0").decode()


def attrs(data):
    """[(type, payload)...]"""
    found = []
    at = 0
    while at + 4 <= len(data):
        length, kind = struct.unpack_from("=HH", data, at)
        if length < 4:
            break
        found.append((kind & 0x3FFF, data[at + 4 : at + length]))
        at += (length + 3) & ~3
    return found


def attr(kind, data):
    """data: bytes, a word, a number of 32 bits, or [(type, data)...] for a nest of attributes."""
    if isinstance(data, int):
        data = struct.pack("=I", data)
    elif isinstance(data, str):
        data = data.encode() + b"\0"
    elif isinstance(data, list):
        kind |= NLA_F_NESTED
        data = b"".join(attr(*one) for one in data)
    length = 4 + len(data)
    return struct.pack("=HH", length, kind) + data + b"\0" * (-length % 4)


class Netlink:
    """One socket, in the network namespace that the thread is in now, which it keeps alive."""

    def __init__(self, protocol):
        self.socket = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, protocol)
        self.socket.bind((0, 0))
        self.socket.setsockopt(SOL_NETLINK, EXT_ACK, 1)
        self.seq = 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def request(self, kind, body, flags=NLM_F_ACK):
        """The bodies of what is answered."""
        self.seq += 1
        self.socket.send(struct.pack("=IHHII", 16 + len(body), kind, NLM_F_REQUEST | flags,
                                     self.seq, 0) + body)
        answers = []
        while True:
            data = self.socket.recv(1 << 17)
            at = 0
            while at < len(data):
                length, kind, flags, _, _ = struct.unpack_from("=IHHII", data, at)
                body = data[at + 16 : at + length]
                at += (length + 3) & ~3
                if kind == NLMSG_ERROR:
                    self.complain(flags, body)
                    return answers
                if kind == NLMSG_DONE:
                    return answers
                answers.append(body)

    @staticmethod
    def complain(flags, body):
        number = -struct.unpack_from("=i", body)[0]
        if not number:
            return
        words = ""
        if flags & NLM_F_ACK_TLVS:
            at = 20 if flags & NLM_F_CAPPED else 4 + u32(body[4:8])
            words = text(dict(attrs(body[at:])).get(NLMSGERR_ATTR_MSG, b""))
        raise OSError(number, words or os.strerror(number))


class Family(Netlink):
    """A generic netlink family, by name."""

    def __init__(self, name):
        super().__init__(NETLINK_GENERIC)
        self.id = GENL_ID_CTRL
        family, = self.command(CTRL_CMD_GETFAMILY, attr(CTRL_ATTR_FAMILY_NAME, name))
        answer = dict(attrs(family[4:]))
        self.id = struct.unpack("=H", answer[CTRL_ATTR_FAMILY_ID][:2])[0]
        self.groups = [u32(dict(attrs(group))[CTRL_ATTR_MCAST_GRP_ID])
                       for _, group in attrs(answer.get(CTRL_ATTR_MCAST_GROUPS, b""))]

    def command(self, number, payload=b"", flags=NLM_F_ACK):
        return self.request(self.id, struct.pack("=BBH", number, 1, 0) + payload, flags)


def libc(function, *args):
    from ctypes import CDLL, get_errno  # takes long

    if getattr(CDLL(None, use_errno=True), function)(*args):
        raise OSError(get_errno(), os.strerror(get_errno()))


@contextlib.contextmanager
def inside(name):
    """This thread, for a while, in the network namespace that `ip netns` calls so."""
    home = os.open("/proc/self/ns/net", os.O_RDONLY)
    try:
        there = os.open(NAMESPACES + name, os.O_RDONLY)
        try:
            libc("setns", there, CLONE_NEWNET)
        finally:
            os.close(there)
        try:
            yield
        finally:
            libc("setns", home, CLONE_NEWNET)
    finally:
        os.close(home)
