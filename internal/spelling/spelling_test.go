package spelling

import "testing"

func TestNearest(t *testing.T) {
	known := []string{"server.listen", "server.token", "store.shards", "a"}
	for text, want := range map[string]string{
		"server.lisen": "server.listen", "server.tokens": "server.token", "stor.shard": "store.shards", "b": "a", "": "a",
		"something else": "", "server": "", "server.listen": "server.listen",
	} {
		if got := Nearest(text, known); got != want {
			t.Errorf("the nearest of %q is %q, want %q", text, got, want)
		}
	}
	if got := Nearest("a", nil); got != "" {
		t.Errorf("of nothing: %q", got)
	}
}
