package codegen_test

import (
	"strings"
	"testing"

	"headgate/internal/codegen"
)

// allSections is a manifest whose file has every section.
func allSections() *codegen.Manifest {
	s := codegen.NewSchema("src/livestore/schema.ts", codegen.ImportTS, "effect")
	s.Epoch, s.Release, s.StoreReset = 3, "1.2.0", true
	s.Marker = &codegen.Marker{Event: codegen.MarkerEvent, Table: codegen.MarkerTable, Column: codegen.MarkerColumn}
	s.Migrations.Client = []codegen.Migration{{
		Name: "00001_backfill", Checksum: "sha256-" + strings.Repeat("0", 64), File: "headgate/migrations/00001_backfill.sql", Marker: true,
		Emits: []codegen.Emit{{Event: "v1.Added", Key: []string{"id"}, Line: 3, SQL: "SELECT id FROM items"}},
	}}
	s.Corrections = codegen.Corrections{
		List: []codegen.Correction{
			{Name: "gone", Event: "v1.Added", Pins: "7.0:0123456789abcdef 8.0:0123456789abcdef", Fields: [][]string{{"id"}, {"at", "id"}}, Skip: true},
			{Name: "set", Event: "v2.Added", Release: "1.3.0", From: 3, To: 9, Clients: []string{"a'b"}, Where: "args ->> 'id' = '\"'", Set: `{"id":"x"}`},
			{Name: "other", Event: "v9.Unknown", Release: "1.3.0", Replace: []codegen.Replacement{{Event: "v1.Added", Args: "json_object('id', seq)"}}},
			{Name: "made-anew", Event: "v1.Removed", Release: "1.3.0", Rewrite: "json_set(args, '$.id', 'y')"},
		},
		Tolerated: []string{"v2.Added"}, Adopted: []string{"v9.Unknown"},
	}
	return &codegen.Manifest{Version: codegen.ManifestVersion, Schemas: map[string]codegen.Schema{"main": s}}
}

// allSectionsTypes are the sections in one module, where no two may declare the same name, and the corrections alone.
func allSectionsTypes(t *testing.T) map[string][]byte {
	t.Helper()
	whole, err := codegen.Render(allSections(), "main")
	if err != nil {
		t.Fatal(err)
	}
	alone := allSections()
	s := alone.Schemas["main"]
	s.Release, s.StoreReset, s.Marker, s.Migrations = "", false, nil, codegen.Migrations{}
	alone.Schemas["main"] = s
	corrections, err := codegen.Render(alone, "main")
	if err != nil {
		t.Fatal(err)
	}
	return map[string][]byte{
		"whole.ts": whole, "corrections.ts": corrections,
		"use.ts": []byte(`import { Events, makeSchema, Schema, State } from '@livestore/livestore'
import { withCorrectedEvents, withHeadgate } from './corrections.ts'
const events = {
  added: Events.synced({ name: 'v1.Added', schema: Schema.Struct({ id: Schema.String }) }),
  removed: Events.synced({ name: 'v1.Removed', schema: Schema.Struct({ id: Schema.String, at: Schema.Date }) }),
}
const items = State.SQLite.table({ name: 'items', columns: { id: State.SQLite.text({ primaryKey: true }) } })
const materializers = State.SQLite.materializers(events, {
  'v1.Added': ({ id }) => items.insert({ id }),
  'v1.Removed': ({ id }) => items.delete().where({ id }),
})
export const schema = makeSchema({ events: withCorrectedEvents(events), state: State.SQLite.makeState(withHeadgate({ tables: { items }, materializers }, events)) })
export const lists = makeSchema({ events: withCorrectedEvents([events.added]), state: State.SQLite.makeState(withHeadgate({ tables: { items }, materializers })) })
`),
	}
}

func TestCorrectionsRefused(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*codegen.Correction){
		"no name":       func(c *codegen.Correction) { c.Name = "Two words" },
		"twice":         func(c *codegen.Correction) { c.Name = "set" },
		"no event":      func(c *codegen.Correction) { c.Event = "" },
		"no pins":       func(c *codegen.Correction) { c.Pins = "7:0123" },
		"no object":     func(c *codegen.Correction) { c.Set = "[1]" },
		"nothing to do": func(c *codegen.Correction) { c.Skip = false },
	} {
		t.Run(name, func(t *testing.T) {
			m := allSections()
			change(&m.Schemas["main"].Corrections.List[0])
			if _, err := codegen.Render(m, "main"); err == nil || !strings.Contains(err.Error(), "corrections:") {
				t.Errorf("error %v", err)
			}
		})
	}
}
