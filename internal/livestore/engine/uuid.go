package engine

import (
	"crypto/sha1"
	"errors"
	"fmt"
	"unsafe"

	"modernc.org/libc"
	sqlite3 "modernc.org/sqlite/lib"
)

// UUID5 returns the version 5 UUID (RFC 9562) of a name: the same for the same namespace and name, for ever.
// The namespace is a text: its own version 5 UUID in the URL namespace is what names are hashed under.
func UUID5(namespace, name string) string {
	url := [16]byte{0x6b, 0xa7, 0xb8, 0x11, 0x9d, 0xad, 0x11, 0xd1, 0x80, 0xb4, 0x00, 0xc0, 0x4f, 0xd4, 0x30, 0xc8}
	u := uuid5(uuid5(url, namespace), name)
	return fmt.Sprintf("%x-%x-%x-%x-%x", u[:4], u[4:6], u[6:8], u[8:10], u[10:])
}

func uuid5(namespace [16]byte, name string) (u [16]byte) {
	sum := sha1.Sum(append(namespace[:], name...))
	copy(u[:], sum[:])
	u[6] = u[6]&0x0f | 0x50
	u[8] = u[8]&0x3f | 0x80
	return u
}

// AddUUID5 adds the SQL function uuid5(name), which is [UUID5] in a namespace.
func (d *DB) AddUUID5(namespace string) error {
	if d.uuidNamespace != 0 {
		return errors.New("uuid5 is there already")
	}
	name, err := libc.CString("uuid5")
	if err != nil {
		return err
	}
	defer libc.Xfree(d.tls, name)
	if d.uuidNamespace, err = libc.CString(namespace); err != nil {
		return err
	}
	call := sqlUUID5 // SQLite calls through a pointer to a function value
	rc := sqlite3.Xsqlite3_create_function(d.tls, d.db, name, 1, sqlite3.SQLITE_UTF8|sqlite3.SQLITE_DETERMINISTIC,
		d.uuidNamespace, *(*uintptr)(unsafe.Pointer(&call)), 0, 0)
	if rc != sqlite3.SQLITE_OK {
		return d.err(rc)
	}
	return nil
}

func sqlUUID5(tls *libc.TLS, ctx uintptr, _ int32, argv uintptr) {
	arg := libc.AtomicLoadPUintptr(argv)
	text := sqlite3.Xsqlite3_value_text(tls, arg)
	if text == 0 {
		sqlite3.Xsqlite3_result_null(tls, ctx)
		return
	}
	name := string(libc.GoBytes(text, int(sqlite3.Xsqlite3_value_bytes(tls, arg))))
	namespace := libc.GoString(sqlite3.Xsqlite3_user_data(tls, ctx))
	out, err := libc.CString(UUID5(namespace, name))
	if err != nil {
		sqlite3.Xsqlite3_result_error_nomem(tls, ctx)
		return
	}
	sqlite3.Xsqlite3_result_text(tls, ctx, out, -1, ^uintptr(0)) // SQLITE_TRANSIENT: it copies
	libc.Xfree(tls, out)
}
