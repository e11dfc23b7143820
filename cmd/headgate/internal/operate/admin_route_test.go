package operate_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"headgate/cmd/headgate/internal/operate"
	"headgate/internal/errs"
)

// TestAdminRouteFailures: each way in which a backend has no admin route, or not the one that is wanted, says what to do, and
// never what the secret is. Where it is there is TestBackendReset.
func TestAdminRouteFailures(t *testing.T) {
	const secret = "an-admin-token-of-the-test"
	elsewhere := 0
	other := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { elsewhere++ }))
	t.Cleanup(other.Close)
	for name, test := range map[string]struct {
		status int
		body   string
		code   errs.Code
		want   string
	}{
		"another secret":   {http.StatusUnauthorized, `{"error":"the admin token is missing or wrong"}`, errs.Unauthorized, "PROD_ADMIN_TOKEN must hold"},
		"no wrapper":       {http.StatusNotFound, "not a sync request", errs.NotFound, "has no admin route (404)"},
		"no wrapper, 200":  {http.StatusOK, "<title>Welcome</title>", errs.NotFound, "has no admin route (200)"},
		"a redirect":       {http.StatusFound, "", errs.NotFound, "has no admin route (302)"},
		"an older wrapper": {http.StatusOK, `{"storeId":"s","exists":true,"head":3,"backendId":"b","sockets":0}`, errs.Refused, "of an earlier headgate"},
		"an older one yet": {http.StatusNotFound, `{"error":"no such operation"}`, errs.Refused, "of an earlier headgate"},
		"a refusal":        {http.StatusBadRequest, `{"error":"seconds is 0 to 3600"}`, errs.Internal, "seconds is 0 to 3600"},
		"a crash":          {http.StatusInternalServerError, "Internal Server Error", errs.Internal, "failed with status 500"},
	} {
		t.Run(name, func(t *testing.T) {
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Header.Get("Authorization") != "Bearer "+secret {
					t.Errorf("the token was not sent: %v", r.Header)
				}
				w.Header().Set("Location", other.URL)
				w.WriteHeader(test.status)
				_, _ = w.Write([]byte(test.body))
			}))
			defer s.Close()
			route := operate.AdminRoute{URL: strings.Replace(s.URL, "http", "ws", 1) + "/?storeId=x", Token: secret, From: "PROD_ADMIN_TOKEN"}
			_, err := route.Info(t.Context(), "s")
			e := errs.As(err)
			if e == nil || e.Code != test.code || !strings.Contains(e.Error()+"\n"+e.Hint, test.want) || strings.Contains(e.Error()+e.Hint, secret) {
				t.Errorf("error %v, want %q", err, test.want)
			}
		})
	}
	if elsewhere > 0 {
		t.Error("the token went elsewhere")
	}
}

func TestAdminRouteReset(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusConflict)
		_, _ = w.Write([]byte(`{"done":false,"why":"the store is not what it was","info":{"exists":true,"head":4,"backendId":"b","sockets":0,"heldUntil":0}}`))
	}))
	defer s.Close()
	err := operate.AdminRoute{URL: s.URL, Token: "x", From: "X"}.Reset(t.Context(), "s", operate.BackendStore{BackendID: "b", Head: 3})
	if e := errs.As(err); errs.CodeOf(err) != errs.Refused || !strings.Contains(e.Hint, "ends at e4, it was looked at at e3; nothing was deleted") {
		t.Errorf("error %v", err)
	}
}
