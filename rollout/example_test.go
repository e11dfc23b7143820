package rollout_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/open-feature/go-sdk/openfeature"
	"github.com/open-feature/go-sdk/openfeature/isolated"

	"headgate/rollout"
)

// A Go service that commits events asks in its own process which version to emit: from the file that headgate flags export
// wrote, which it reads again every half minute.
func ExampleProvider() {
	dir, err := os.MkdirTemp("", "flags")
	if err != nil {
		panic(err)
	}
	defer func() { _ = os.RemoveAll(dir) }()
	file := filepath.Join(dir, "flags.json")
	export(file, "[]") // what headgate flags export --out flags.json does

	ctx := context.Background()
	flags := rollout.NewProvider(func(context.Context) (*rollout.File, error) {
		data, err := os.ReadFile(file) // or a request to where it is published
		if err != nil {
			return nil, err
		}
		return rollout.ParseFlagd(data, file)
	})
	flags.Every = 10 * time.Millisecond // in earnest 30 * time.Second
	flags.Tracked = func(_ context.Context, event string, about openfeature.EvaluationContext, d openfeature.TrackingEventDetails) {
		fmt.Println("emitted", d.Value(), event, "in", about.Attribute(rollout.StoreIDAttribute))
	}

	api := isolated.NewAPI()
	changed := make(chan []string, 1)
	tell := func(d openfeature.EventDetails) { changed <- d.FlagChanges }
	api.AddHandler(openfeature.ProviderConfigChange, &tell)
	if err := api.SetProviderAndWait(ctx, flags); err != nil {
		panic(err)
	}
	defer func() { _ = api.Shutdown(ctx) }() // ends the reading, too

	client := api.NewClient()
	about := openfeature.NewTargetlessEvaluationContext(map[string]any{
		rollout.StoreIDAttribute: "team", rollout.AppVersionAttribute: "1.5.0",
	})
	const oldest = "v1.TodoCreated" // where there is no answer
	fmt.Println(client.String(ctx, "event.TodoCreated", oldest, about))

	export(file, "[team]") // the rollout has opened the store
	fmt.Println("changed:", <-changed)
	event := client.String(ctx, "event.TodoCreated", oldest, about)
	fmt.Println(event)
	client.Track(ctx, event, about, openfeature.NewTrackingEventDetails(1))

	// Output:
	// v1.TodoCreated
	// changed: [event.TodoCreated]
	// v2.TodoCreated
	// emitted 1 v2.TodoCreated in team
}

// export writes the flags as a flagd file, with v2 open in some stores.
func export(path, stores string) {
	f, err := rollout.Parse([]byte("flags:\n  event.TodoCreated:\n    variants:\n      v1: v1.TodoCreated\n      v2: {event: v2.TodoCreated, floor: 1.5.0, stores: "+stores+"}\n"), "flags.yaml")
	if err != nil {
		panic(err)
	}
	text, err := f.Flagd()
	if err != nil {
		panic(err)
	}
	if err := os.WriteFile(path+".new", text, 0o600); err != nil {
		panic(err)
	}
	if err := os.Rename(path+".new", path); err != nil { // never half of it
		panic(err)
	}
}
