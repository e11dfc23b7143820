package probe

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"

	"headgate/internal/livestore"
	"headgate/internal/livestore/eventlog"
	"headgate/internal/livestore/payload"
)

// A Sample is some of the real payloads of one event. It is handed to the sandbox and never shown.
type Sample struct {
	Payloads []json.RawMessage `json:"payloads"`
	// Seen is how many events of the name the log held.
	Seen int64 `json:"seen"`
}

// Collect reads a log and keeps, for each of the named events, up to most payloads of different shapes, the first of
// each shape. Events that can't be read are passed over.
func Collect(ctx context.Context, r eventlog.Reader, names []string, most int) (map[string]Sample, error) {
	out := map[string]Sample{}
	shapes := map[string]bool{}
	for e, err := range r.Events(ctx, livestore.ClientSeq{}) {
		var bad *eventlog.Malformed
		switch {
		case errors.As(err, &bad):
			continue
		case err != nil:
			return nil, err
		case !slices.Contains(names, e.Name):
			continue
		}
		s := out[e.Name]
		s.Seen++
		if len(s.Payloads) < most {
			if shape := e.Name + payload.ShapeJSON(e.Args, nil); !shapes[shape] {
				shapes[shape] = true
				s.Payloads = append(s.Payloads, slices.Clone(e.Args))
			}
		}
		out[e.Name] = s
	}
	return out, nil
}

// Merge joins samples of several logs, up to most payloads for each event.
func Merge(most int, samples ...map[string]Sample) map[string]Sample {
	out := map[string]Sample{}
	for _, m := range samples {
		for name, s := range m {
			o := out[name]
			o.Seen += s.Seen
			o.Payloads = append(o.Payloads, s.Payloads[:min(len(s.Payloads), max(most-len(o.Payloads), 0))]...)
			out[name] = o
		}
	}
	return out
}

func sortedKeys(m map[string]any) []string { return slices.Sorted(maps.Keys(m)) }
