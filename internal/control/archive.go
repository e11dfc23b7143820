package control

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"

	"headgate/internal/errs"
)

// An Archive is some files that belong together, by their paths with slashes.
type Archive map[string][]byte

// MaxArchiveBytes is how much the files of an archive may hold together.
const MaxArchiveBytes = 64 << 20

// encode is the archive as JSON, the same for the same files.
func (a Archive) encode() []byte {
	b, err := json.Marshal(a) // sorts the paths
	if err != nil {
		return nil // it holds nothing that can't be written
	}
	return b
}

// Digest is "sha256-" and a hash of the paths and the contents, in hex.
func (a Archive) Digest() string { return digestOf(a.encode()) }

func digestOf(data []byte) string {
	sum := sha256.Sum256(data)
	return "sha256-" + hex.EncodeToString(sum[:])
}

// Keep stores an archive under its digest, once however often it is kept. One with more than [MaxArchiveBytes] is
// errs.Invalid. Archives are never removed: those of two runs share what did not change.
func (db *DB) Keep(ctx context.Context, a Archive) (digest string, err error) {
	size := 0
	for path, content := range a {
		if err := named("path", path); err != nil {
			return "", err
		}
		size += len(content)
	}
	if size > MaxArchiveBytes {
		return "", errs.Invalidf("the files have %d MB, and the control database keeps at most %d MB of them together", size>>20, MaxArchiveBytes>>20)
	}
	raw := a.encode()
	digest = digestOf(raw)
	there, err := all(ctx, db.sql, func(rows *sql.Rows) (one int, err error) {
		err = rows.Scan(&one)
		return one, err
	}, `SELECT 1 FROM archives WHERE digest = $1`, digest)
	if err != nil || len(there) > 0 {
		return digest, db.failed(ctx, "look for the archive", err)
	}
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	_, err = z.Write(raw)
	if err := errors.Join(err, z.Close()); err != nil {
		return "", err
	}
	err = db.tx(ctx, "keep the archive", func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO archives (digest, data, created_at) VALUES ($1, $2, $3) ON CONFLICT (digest) DO NOTHING`,
			digest, packed.Bytes(), millis(db.now()))
		return err
	})
	return digest, err
}

// Archive returns what was kept under a digest, or errs.NotFound. What is not what the digest says is errs.Mismatch.
func (db *DB) Archive(ctx context.Context, digest string) (Archive, error) {
	found, err := all(ctx, db.sql, func(rows *sql.Rows) (data []byte, err error) {
		err = rows.Scan(&data)
		return data, err
	}, `SELECT data FROM archives WHERE digest = $1`, digest)
	if err != nil {
		return nil, db.failed(ctx, "read the archive", err)
	}
	if len(found) == 0 {
		return nil, errs.NotFoundf("the control database has no archive %s", digest).At("%s", db.place)
	}
	a, err := decodeArchive(found[0], digest)
	if err != nil {
		return nil, errs.New(errs.Mismatch, "the archive %s is damaged", digest).At("%s", db.place).Because(err).
			Hintf("it was edited outside headgate; a backup of the database has it")
	}
	return a, nil
}

func decodeArchive(data []byte, digest string) (a Archive, err error) {
	z, err := gzip.NewReader(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	raw, err := io.ReadAll(io.LimitReader(z, 2*MaxArchiveBytes)) // base64 takes a third more, and the paths are short
	if err != nil {
		return nil, err
	}
	if digestOf(raw) != digest {
		return nil, errors.New("its content is not what its name says")
	}
	return a, json.Unmarshal(raw, &a)
}
