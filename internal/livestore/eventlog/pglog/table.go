package pglog

import (
	"fmt"
	"unicode/utf16"

	"headgate/internal/livestore"
)

const (
	// tablePrefix holds the number of @livestore/sync-electric's persistence format.
	tablePrefix = "eventlog_6_"
	// maxName is how long Postgres lets a name be.
	maxName = 63
)

// TableName returns the table that @livestore/sync-electric 0.4.0 gives a store. It is not one to one: stores whose
// ids differ in '-' and '_' only share a table.
func TableName(store livestore.StoreID) string {
	units := utf16.Encode([]rune(string(store)))
	name := []byte(tablePrefix)
	for _, u := range units {
		if u >= 'a' && u <= 'z' || u >= 'A' && u <= 'Z' || u >= '0' && u <= '9' {
			name = append(name, byte(u))
		} else {
			name = append(name, '_')
		}
	}
	if len(name) <= maxName {
		return string(name)
	}
	return fmt.Sprintf("%shash_%d", tablePrefix, hash(units))
}

// hash is Effect's Hash.string.
func hash(units []uint16) int32 {
	h := int32(5381)
	for i := len(units) - 1; i >= 0; i-- {
		h = h*33 ^ int32(units[i])
	}
	u := uint32(h)
	return int32(u&0xbfffffff | u>>1&0x40000000)
}
