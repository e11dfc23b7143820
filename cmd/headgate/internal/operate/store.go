package operate

import (
	"context"
	"time"

	"headgate/internal/control"
	"headgate/internal/errs"
)

// A KnownStore is what the control database knows of a store.
type KnownStore struct {
	ID        string             `json:"id"`
	Schema    string             `json:"schema"`
	State     control.StoreState `json:"state"`
	Note      string             `json:"note,omitempty"` // why it is in this state
	Region    string             `json:"region,omitempty"`
	Log       string             `json:"log"`  // without secrets
	Head      int64              `json:"head"` // the highest that it ever answered
	BackendID string             `json:"backendId,omitempty"`
	LastSeen  time.Time          `json:"lastSeen"` // in the inventory
	Lock      *control.Lease     `json:"lock,omitempty"`
}

// KnownStoreOf is a store without who works on it.
func KnownStoreOf(s control.Store) KnownStore {
	return KnownStore{
		ID: s.ID, Schema: s.Schema, State: s.State, Note: s.Note, Region: s.Region, Log: s.Log,
		Head: s.Head, BackendID: s.BackendID, LastSeen: s.SeenAt,
	}
}

// KnownStores are the stores that the last inventory had, and those that left it.
type KnownStores struct {
	Environment string       `json:"environment"`
	Stores      []KnownStore `json:"stores"` // by id
}

// StoreList returns the stores that are known, of a schema, "" for any.
func (e Environment) StoreList(ctx context.Context, schema string) (KnownStores, error) {
	out := KnownStores{Environment: e.Name, Stores: []KnownStore{}}
	for s, err := range e.DB.Stores(ctx, e.Name, control.StoreFilter{Schema: schema}) {
		if err != nil {
			return out, err
		}
		out.Stores = append(out.Stores, KnownStoreOf(s))
	}
	return out, nil
}

// StoreShow returns what is known of one store, and who works on it.
func (e Environment) StoreShow(ctx context.Context, id string) (KnownStore, error) {
	row, err := e.DB.Store(ctx, e.Name, id)
	if err != nil {
		return KnownStore{}, e.listed(err)
	}
	s := KnownStoreOf(row)
	locks, err := e.DB.Leases(ctx, e.Name)
	for _, l := range locks {
		if l.Name == control.StoreLease(s.ID) && l.ExpiresAt.After(e.Now()) {
			s.Lock = &l
		}
	}
	return s, err
}

// StoreClients are the clients that the census knows of a store, without tools.
type StoreClients struct {
	Environment string        `json:"environment"`
	Store       string        `json:"store"`
	Clients     []StoreClient `json:"clients"` // by id
}

// A StoreClient is an installation of the app.
type StoreClient struct {
	ID       string    `json:"clientId"`
	Release  string    `json:"release"` // that it ran when it was last seen
	LastSeen time.Time `json:"lastSeen"`
}

// StoreClients returns the clients of a store, none for one that the census does not know.
func (e Environment) StoreClients(ctx context.Context, id string) (StoreClients, error) {
	out := StoreClients{Environment: e.Name, Store: id, Clients: []StoreClient{}}
	known, err := e.DB.ClientsOf(ctx, e.Name, id)
	for _, c := range known {
		out.Clients = append(out.Clients, StoreClient{ID: c.ID, Release: c.Release, LastSeen: c.LastSeen})
	}
	return out, err
}

// SeenStores are the stores that the census knows clients of, by id, in the inventory or not.
func (e Environment) SeenStores(ctx context.Context) ([]control.SeenStore, error) {
	out := []control.SeenStore{}
	for s, err := range e.DB.SeenStores(ctx, e.Name, "") {
		if err != nil {
			return nil, err
		}
		out = append(out, s)
	}
	return out, nil
}

// A ForgottenStore is what was known of one.
type ForgottenStore struct {
	Environment string     `json:"environment"`
	Forgotten   KnownStore `json:"forgotten"`
	NextActions []string   `json:"next_actions"`
}

// StoreForget forgets what is known of a store, in the control database and here.
func (e Environment) StoreForget(ctx context.Context, id string, by control.By) (ForgottenStore, error) {
	was, err := e.DB.Forget(ctx, e.Name, id, by)
	if err != nil {
		return ForgottenStore{}, e.listed(err)
	}
	out := ForgottenStore{Environment: e.Name, Forgotten: KnownStoreOf(was), NextActions: []string{"headgate status --env " + e.Name}}
	if e.ForgetStates == nil {
		return out, nil
	}
	return out, e.ForgetStates(was.ID)
}

// listed names the command that lists the stores, where one is not known.
func (e Environment) listed(err error) error {
	if f := errs.As(err); f != nil && f.Code == errs.NotFound {
		f.Then("headgate store list --env " + e.Name)
	}
	return err
}
