package eventlog

import "fmt"

// The rule for events that belong in a store of their own (cursors, presence, typing), because every replica
// keeps and replays them for good. Where the source has times: at least BusyMinutes separate minutes in which
// at least BusyMinute events of the name were accepted; one such minute may be an import or a client that was
// offline. Where it has times for less than half of the name's events: at least ManyEvents of them, and more
// than of all other names together. It is advice, not proof: a bulk import that goes on for minutes meets it too.
const (
	BusyMinute  = 60
	BusyMinutes = 3
	ManyEvents  = 1000
)

// HighFrequency names events that belong in a store of their own.
type HighFrequency struct {
	Name  string
	Basis string // the part of the rule that it meets, with the figures
}

func highFrequency(s Stats) []HighFrequency {
	var found []HighFrequency
	for _, n := range s.Names {
		switch {
		case n.BusyMinutes >= BusyMinutes:
			found = append(found, HighFrequency{Name: n.Name, Basis: fmt.Sprintf(
				"%d minutes with %d or more accepted, at most %d in one minute", n.BusyMinutes, BusyMinute, n.PeakMinute)})
		case n.Timed*2 < n.Events && n.Events >= ManyEvents && n.Events*2 > s.Total.Events:
			found = append(found, HighFrequency{Name: n.Name, Basis: fmt.Sprintf(
				"%d of %d events; most of them have no time, so it is judged by share", n.Events, s.Total.Events)})
		}
	}
	return found
}
