package cli

import (
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"

	"headgate/internal/livestore"
	"headgate/internal/livestore/eventlog"
	"headgate/internal/livestore/eventlog/filelog"
)

// A clientLog is the log of a stopped client that was appended to.
type clientLog struct {
	Store  livestore.StoreID `json:"store"`
	Log    string            `json:"log"`
	Backup string            `json:"backup"` // the folder with the log as it was, and the state files
	State  string            `json:"state"`  // of the events: pending
}

// clientLogs keeps which clients' logs the command appended to. It is safe for several goroutines.
type clientLogs struct {
	mu   sync.Mutex
	seen []clientLog
}

// note remembers a log if it is a client's and was appended to.
func (k *clientLogs) note(store livestore.StoreID, log eventlog.Appender) {
	f, ok := log.(*filelog.Appender)
	if !ok || f.Backup() == "" {
		return
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.seen = append(k.seen, clientLog{Store: store, Log: f.Path(), Backup: f.Backup(), State: "pending"})
}

// all returns them by store, those of one store in the order in which they were made.
func (k *clientLogs) all() []clientLog {
	k.mu.Lock()
	defer k.mu.Unlock()
	slices.SortStableFunc(k.seen, func(a, b clientLog) int { return strings.Compare(string(a.Store), string(b.Store)) })
	return slices.Clone(k.seen)
}

// writeClientLogs says what became of the clients whose logs were appended to.
func writeClientLogs(w io.Writer, logs []clientLog) {
	for _, l := range logs {
		fmt.Fprintf(w, "store %s is a client's own log: its new events are pending until that client is online and syncs\n", l.Store)
		fmt.Fprintf(w, "  its state files were moved into the backup, so that the client's next start rebuilds the state\n")
		fmt.Fprintf(w, "  backup: %s\n", l.Backup)
	}
}
