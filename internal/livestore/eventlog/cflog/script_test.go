package cflog_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/coder/websocket"

	"headgate/internal/errs"
	"headgate/internal/livestore"
	"headgate/internal/livestore/eventlog"
	"headgate/internal/livestore/eventlog/cflog"
)

// scripted is a backend that answers each call as a test says, for what the real one does not do when asked. In the
// answers ID stands for the request's id. A pull with no answer of its own is one of an empty store.
func scripted(t *testing.T, answers map[string][]string) *cflog.Log {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ws, err := websocket.Accept(w, r, nil)
		if err != nil {
			t.Error(err)
			return
		}
		defer ws.CloseNow()
		for {
			_, data, err := ws.Read(r.Context())
			if err != nil {
				return
			}
			var m struct {
				Type string `json:"_tag"`
				ID   string `json:"id"`
				Tag  string `json:"tag"`
			}
			if err := json.Unmarshal(data, &m); err != nil {
				t.Error(err)
				return
			}
			send := answers[m.Tag]
			switch {
			case m.Type == "Ping":
				send = []string{`{"_tag":"Pong"}`}
			case m.Tag == "SyncWsRpc.Pull" && send == nil:
				send = []string{chunk(-1), success}
			}
			for _, s := range send {
				if err := ws.Write(r.Context(), websocket.MessageText, []byte(strings.ReplaceAll(s, "ID", m.ID))); err != nil {
					return
				}
			}
		}
	}))
	l := open(t, cflog.Options{URL: server.URL, StoreID: "s"})
	t.Cleanup(func() { // the last registered runs first
		_ = l.Close()
		server.Close()
	})
	return l
}

const success = `{"_tag":"Exit","requestId":"ID","exit":{"_tag":"Success"}}`

// chunk is a page with the events of the given numbers; remaining -1 and 0 mean that no more follow.
func chunk(remaining int, seqs ...int) string {
	items := make([]string, len(seqs))
	for i, seq := range seqs {
		items[i] = fmt.Sprintf(`{"eventEncoded":{"name":"v1.A","args":{"n":%d},"seqNum":%d,"parentSeqNum":%d,"clientId":"headgate","sessionId":"test"},"metadata":{"_tag":"None"}}`, seq, seq, seq-1)
	}
	info := `{"_tag":"NoMore"}`
	if remaining > 0 {
		info = fmt.Sprintf(`{"_tag":"MoreKnown","remaining":%d}`, remaining)
	}
	return fmt.Sprintf(`{"_tag":"Chunk","requestId":"ID","values":[{"batch":[%s],"pageInfo":%s,"backendId":"b1"}]}`, strings.Join(items, ","), info)
}

func failed(cause string) string {
	return `{"_tag":"Exit","requestId":"ID","exit":{"_tag":"Failure","cause":` + cause + `}}`
}

func fail(err string) string { return failed(`{"_tag":"Fail","error":` + err + `}`) }

func TestPullAnswers(t *testing.T) {
	for name, test := range map[string]struct {
		answer []string
		want   string // numbers, then the error's code
	}{
		"a broadcast overtakes the pages":        {[]string{chunk(2, 1, 2), chunk(0, 5), chunk(0, 3, 4), success}, "1 2 3 4 "},
		"it is as long as what is missing":       {[]string{chunk(2, 1, 2), chunk(0, 5, 6), chunk(0, 3, 4), success}, "1 2 3 4 "},
		"it overtakes the first page":            {[]string{chunk(0, 5), chunk(2, 1, 2), chunk(0, 3, 4), success}, "1 2 3 4 "},
		"a page brings it again":                 {[]string{chunk(2, 1, 2), chunk(0, 5), chunk(0, 3, 4, 5), success}, "1 2 3 4 5 "},
		"it follows the last page":               {[]string{chunk(0, 1, 2), chunk(0, 3), success}, "1 2 3 "},
		"it is in front of an overlapping page":  {[]string{chunk(1, 1, 2), chunk(0, 3), chunk(0, 3), success}, "1 2 3 "},
		"of an earlier call":                     {[]string{`{"_tag":"Chunk","requestId":"77","values":[]}`, chunk(0, 1), success}, "1 "},
		"an id that is a number":                 {[]string{strings.ReplaceAll(chunk(0, 1), `"ID"`, "ID"), success}, "1 "},
		"defect":                                 {[]string{`{"_tag":"Defect","defect":"Unknown request tag: SyncWsRpc.Pull"}`}, "internal"},
		"not JSON":                               {[]string{"hello"}, "internal"},
		"another protocol":                       {[]string{`{"jsonrpc":"2.0"}`}, "internal"},
		"no backend id":                          {[]string{strings.ReplaceAll(chunk(0, 1), "b1", "")}, "internal"},
		"another backend's id":                   {[]string{chunk(1, 1), strings.ReplaceAll(chunk(0, 2), "b1", "b2"), success}, "1 refused"},
		"mismatch":                               {[]string{fail(`{"expected":"b2","received":"b1","_tag":"BackendIdMismatchError"}`)}, "refused"},
		"an event too large":                     {[]string{chunk(1, 1), fail(`{"cause":{"name":"OversizeChunkItemError","message":"{ \"size\": 900001 }"},"_tag":"UnknownError"}`)}, "1 internal"},
		"a newer server's failure":               {[]string{failed(`[{"_tag":"Fail","error":{"expected":"b2","received":"b1","_tag":"BackendIdMismatchError"}}]`)}, "refused"},
		"a failure in a tree":                    {[]string{failed(`{"_tag":"Sequential","left":{"_tag":"Empty"},"right":{"_tag":"Parallel","left":{"_tag":"Die","defect":"x"},"right":{"_tag":"Fail","error":{"expected":"b2","_tag":"BackendIdMismatchError"}}}}`)}, "refused"},
		"interrupted":                            {[]string{failed(`{"_tag":"Interrupt","fiberId":{}}`)}, "internal"},
		"a failure of no known form":             {[]string{failed(`"?"`)}, "internal"},
		"a malformed event between whole ones":   {[]string{strings.Replace(chunk(0, 1, 2, 3), `"parentSeqNum":1,`, `"parentSeqNum":"1",`, 1), success}, "1 malformed:2 3 "},
		"an event without a number":              {[]string{strings.Replace(chunk(0, 1, 2, 3), `"seqNum":2,`, ``, 1), success}, "1 malformed:0 3 "},
		"an event that is none":                  {[]string{strings.Replace(chunk(0, 1, 2), `"eventEncoded":{`, `"eventEncoded":[],"x":{`, 1), success}, "malformed:0 2 "},
		"arguments that were left out":           {[]string{strings.Replace(chunk(0, 1), `"args":{"n":1},`, ``, 1), success}, "1 "},
		"an Exit and no page":                    {[]string{success}, ""},
		"a gap and the end of it is taken twice": {[]string{chunk(0, 3, 4), success}, "3 4 "},
	} {
		t.Run(name, func(t *testing.T) {
			l := scripted(t, map[string][]string{"SyncWsRpc.Pull": test.answer})
			var got strings.Builder
			for e, err := range l.Events(t.Context(), livestore.ClientSeq{}) {
				var bad *eventlog.Malformed
				switch {
				case errors.As(err, &bad):
					fmt.Fprintf(&got, "malformed:%d ", e.Seq.Global)
				case err != nil:
					if e := errs.As(err); e == nil || e.Hint == "" {
						t.Errorf("error %v, want one with a hint", err)
					}
					fmt.Fprint(&got, errs.CodeOf(err))
				default:
					fmt.Fprintf(&got, "%d ", e.Seq.Global)
				}
			}
			if got.String() != test.want {
				t.Errorf("read %q, want %q", got.String(), test.want)
			}
		})
	}
}

// TestPullIsLeft leaves a read after a broadcast was left out and before the pages have caught up with it.
func TestPullIsLeft(t *testing.T) {
	l := scripted(t, map[string][]string{"SyncWsRpc.Pull": {chunk(0, 5), chunk(2, 1, 2), chunk(0, 3, 4), success}})
	for e, err := range l.Events(t.Context(), livestore.ClientSeq{}) {
		if err != nil || e.Seq.Global != 1 {
			t.Errorf("%s, error %v", e.Seq, err)
		}
		break
	}
}

func TestPushAnswers(t *testing.T) {
	const refused = `{"cause":{"name":"Error","message":"onPush: no such list"},"_tag":"UnknownError"}`
	for name, test := range map[string]struct {
		answer string
		pull   []string // nil for an empty store
		want   string
	}{
		"ahead":                        {fail(`{"minimumExpectedNum":7,"providedNum":0,"_tag":"ServerAheadError"}`), nil, "ahead 7"},
		"two pushes overlapped":        {fail(`{"cause":{"name":"Error","message":"UNIQUE constraint failed: eventlog_7_s.seqNum: SQLITE_CONSTRAINT"},"payload":{"dbName":"eventlog_7_s","stage":"insert"},"_tag":"UnknownError"}`), nil, "ahead -1"},
		"reset":                        {fail(`{"expected":"b2","received":"b1","_tag":"BackendIdMismatchError"}`), nil, "refused"},
		"onPush threw":                 {fail(refused), nil, "invalid"},
		"onPush threw, others pushed":  {fail(refused), []string{strings.ReplaceAll(chunk(0, 1), "headgate", "other"), success}, "invalid"},
		"onPushRes threw":              {fail(refused), []string{chunk(0, 1), success}, "ambiguous"},
		"the storage failed":           {fail(`{"cause":{"name":"Error","message":"disk I/O error"},"payload":{"dbName":"eventlog_7_s"},"_tag":"UnknownError"}`), nil, "ambiguous"},
		"it died":                      {failed(`{"_tag":"Die","defect":{"name":"TypeError","message":"x is undefined"}}`), nil, "ambiguous"},
		"interrupted":                  {failed(`[{"_tag":"Interrupt","fiberId":0}]`), nil, "ambiguous"},
		"a defect":                     {`{"_tag":"Defect","defect":{"name":"Error","message":"out of memory"}}`, nil, "ambiguous"},
		"it does not know how to push": {`{"_tag":"Defect","defect":"Unknown request tag: SyncWsRpc.Push"}`, nil, "internal"},
		"not JSON":                     {"hello", nil, "ambiguous"},
		"success":                      {success, nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			answers := map[string][]string{"SyncWsRpc.Push": {test.answer}}
			if test.pull != nil {
				answers["SyncWsRpc.Pull"] = test.pull
			}
			l := scripted(t, answers)
			batch := chain(1, 1, 10)
			batch[0].Name = "v1.A"
			err := l.Append(t.Context(), batch)
			var ahead *eventlog.AheadError
			var ambiguous *eventlog.AmbiguousError
			got := string(errs.CodeOf(err))
			switch {
			case errors.As(err, &ahead):
				got = fmt.Sprintf("ahead %d", ahead.Head)
			case errors.As(err, &ambiguous):
				got = "ambiguous"
			}
			if got != test.want {
				t.Errorf("error %v (%s), want %s", err, got, test.want)
			}
			if e := errs.As(err); e != nil && e.Hint == "" {
				t.Errorf("error %v has no hint", err)
			}
		})
	}
}
