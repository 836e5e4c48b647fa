//go:build unix

package gateway

import (
	"cmp"
	"net"
	"os"
	"syscall"
)

// restart is the signal at which the program starts anew.
var restart os.Signal = syscall.SIGUSR2

// readSocket reads without waiting: the sockets of package net never block.
func readSocket(fd uintptr, b []byte) (int, error) { return syscall.Read(int(fd), b) }

// peekSocket shows what could be read, without waiting.
func peekSocket(fd uintptr, b []byte) int {
	n, _, _ := syscall.Recvfrom(int(fd), b, syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
	return max(n, 0)
}

// rawSocket is nc's own, to be read without waiting; nil if it has none.
func rawSocket(nc net.Conn) syscall.RawConn {
	s, ok := nc.(syscall.Conn)
	if !ok {
		return nil
	}
	raw, err := s.SyscallConn()
	if err != nil {
		return nil
	}
	return raw
}

// listenConfig and dialer have silent peers asked after at the system's times: to
// set times of our own, as package net does, is three calls more for each
// connection. What is accepted inherits it.
var (
	listenConfig = net.ListenConfig{KeepAlive: -1, Control: keepAlive}
	dialer       = net.Dialer{KeepAlive: -1, Control: keepAlive}
)

func keepAlive(_, _ string, c syscall.RawConn) (err error) {
	failed := c.Control(func(fd uintptr) {
		err = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_KEEPALIVE, 1)
	})
	return cmp.Or(failed, err)
}
