//go:build !unix

package gateway

import (
	"net"
	"os"
	"syscall"
)

// restart is a signal that never comes: sockets cannot be handed over here.
var restart os.Signal = syscall.Signal(-1)

// rawSocket is never had: a connection is read through package net alone, with a
// buffer in hand while it waits.
func rawSocket(net.Conn) syscall.RawConn { return nil }

func readSocket(uintptr, []byte) (int, error) { return 0, syscall.EINVAL }

func peekSocket(uintptr, []byte) int { return 0 }

var (
	listenConfig net.ListenConfig
	dialer       net.Dialer
)
