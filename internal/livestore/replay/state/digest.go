package state

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"hash"
	"math"
)

// A Digest says what a state holds. Equal digests mean equal states: schema text, rows, values and their types.
type Digest struct {
	// Digest is "sha256-<hex>" over the schema and all tables.
	Digest string        `json:"digest"`
	Tables []TableDigest `json:"tables"` // by name
}

// A TableDigest says what one table holds.
type TableDigest struct {
	Name string `json:"name"`
	Rows int64  `json:"rows"`
	// Digest is "sha256-<hex>" over the column names and the rows.
	Digest string `json:"digest"`
}

// DigestFile takes the digest of the file at path.
func DigestFile(ctx context.Context, path string) (Digest, error) {
	f, err := Open(path)
	if err != nil {
		return Digest{}, err
	}
	defer f.Close()
	return f.Digest(ctx)
}

// Digest reads everything and returns its digest.
func (f *File) Digest(ctx context.Context) (Digest, error) {
	objects, err := f.Objects()
	if err != nil {
		return Digest{}, err
	}
	out := Digest{Tables: []TableDigest{}}
	whole := sha256.New()
	for _, o := range objects {
		fmt.Fprintf(whole, "%q %q %q %q\n", o.Type, o.Name, o.Table, o.SQL)
		if o.Type != "table" {
			continue
		}
		t, err := f.tableDigest(ctx, o.Name)
		if err != nil {
			return Digest{}, err
		}
		out.Tables = append(out.Tables, t)
		fmt.Fprintf(whole, "%d %s\n", t.Rows, t.Digest)
	}
	out.Digest = text(whole)
	return out, nil
}

func (f *File) tableDigest(ctx context.Context, name string) (TableDigest, error) {
	t := TableDigest{Name: name}
	l, err := f.layout(name)
	if err != nil {
		return t, err
	}
	h := sha256.New()
	fmt.Fprintf(h, "%q\n", l.columns)
	var b []byte
	err = f.rows(ctx, name, l, func(values []any) error {
		t.Rows++
		b = b[:0]
		for _, v := range values {
			b = appendTyped(b, v)
		}
		h.Write(b)
		return nil
	})
	t.Digest = text(h)
	return t, err
}

func text(h hash.Hash) string { return "sha256-" + hex.EncodeToString(h.Sum(nil)) }

// appendTyped appends a value so that different values, also of different types, give different bytes.
func appendTyped(b []byte, v any) []byte {
	switch v := v.(type) {
	case int64:
		return binary.BigEndian.AppendUint64(append(b, 'i'), uint64(v))
	case float64:
		return binary.BigEndian.AppendUint64(append(b, 'r'), math.Float64bits(v))
	case string:
		return append(binary.AppendUvarint(append(b, 't'), uint64(len(v))), v...)
	case []byte:
		return append(binary.AppendUvarint(append(b, 'b'), uint64(len(v))), v...)
	}
	return append(b, 'n')
}
