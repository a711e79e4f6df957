package gossip

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"flag"
	"os"
	"testing"

	pb "github.com/libp2p/go-libp2p-pubsub/pb"
	"google.golang.org/protobuf/proto"

	"github.com/notarynet/notaryd/node/snapshot"
	setsync "github.com/notarynet/notaryd/node/sync"
	"github.com/notarynet/notaryd/proto/domain"
)

var update = flag.Bool("update", false, "write testdata/vectors.json anew")

// vectors are the facts of docs/spec/network.md that another implementation can check itself against. Bytes are in
// hexadecimal; frames begin with their length.
type vectors struct {
	Network   string            `json:"network"`
	Nodes     []nodeVector      `json:"nodes"`
	Topics    map[string]string `json:"topics"`
	Router    string            `json:"router_protocol"`
	Pulls     map[string]string `json:"pull_protocols"`
	Messages  []messageVector   `json:"message_ids"`
	Batches   []batchVector     `json:"batches"`
	Exchanges []exchangeVector  `json:"exchanges"`
	Pushes    []pushVector      `json:"pushes"`
}

type nodeVector struct {
	Seed   string `json:"seed"`
	Key    string `json:"node_key"`
	PeerID string `json:"peer_id"`
}

type messageVector struct {
	Topic   string `json:"topic"`
	Content string `json:"content"`
	ID      string `json:"message_id"`
}

type batchVector struct {
	Transactions []string `json:"transactions"`
	Encoding     string   `json:"encoding"`
}

type exchangeVector struct {
	Protocol string `json:"protocol"`
	Request  string `json:"request_frame"`
	Response string `json:"response_frame"`
}

type pushVector struct {
	Protocol string `json:"protocol"`
	Frame    string `json:"frame"`
}

func computeVectors(t *testing.T) vectors {
	v := vectors{Network: testNetwork.String(), Router: string(routerProtocol(testNetwork)),
		Topics: map[string]string{}, Pulls: map[string]string{}}
	for i := range 2 {
		seed := testKey(i).Seed()
		v.Nodes = append(v.Nodes, nodeVector{hex.EncodeToString(seed[:]), testKey(i).Public().String(), PeerID(testKey(i).Public()).String()})
	}
	for k := range numTopics {
		name := Topic(testNetwork, k.String())
		v.Topics[k.String()] = name
		id := messageID(&pb.Message{Topic: proto.String(name), Data: []byte("content")})
		v.Messages = append(v.Messages, messageVector{name, hex.EncodeToString([]byte("content")), hex.EncodeToString([]byte(id))})
	}
	for _, txs := range [][][]byte{{[]byte("one")}, {[]byte("one"), bytes.Repeat([]byte{2}, 200)}} {
		var b batch
		var list []string
		for _, tx := range txs {
			b.add(tx)
			list = append(list, hex.EncodeToString(tx))
		}
		data, _ := b.take()
		v.Batches = append(v.Batches, batchVector{list, hex.EncodeToString(data)})
	}
	s := newStore()
	id := s.put([]byte("tx"))
	s.proofs[id] = []byte("proof")
	s.observations[1], s.observations[2] = []byte("first"), []byte("second")
	s.heads = []Head{{Key: testKey(0).Public(), SigningEpoch: 1, Height: 300, Hash: domain.Hash{2}}}
	s.votes = [][]byte{[]byte("vote")}
	s.finals[Final{Tx: id, Round: 300, Link: testNetwork}] = []byte("final")
	missing := domain.Hash{1}
	s.set = ids{missing, testNetwork}
	manifest := &snapshot.Manifest{Network: testNetwork, Link: missing, TimeMS: 1_767_225_600_000, Counts: snapshot.Counts{Finals: 1}}
	piece := append([]byte{byte(snapshot.Final)}, id[:]...)
	manifest.Pieces = []domain.Hash{snapshot.HashPiece(piece)}
	s.offers = Snapshots{Offers: []snapshot.Offer{snapshot.Sign(testKey(0), manifest)}, Links: []domain.Hash{missing}}
	s.pieces = map[uint32][]byte{0: manifest.Encode(), 1: piece}
	requests := [numPulls][]byte{
		pullTx:    appendUint(appendBytes(appendBytes(nil, tag1Bytes, id[:]), tag1Bytes, missing[:]), tag2Varint, 1),
		pullObs:   Range{Key: testKey(0).Public(), SigningEpoch: 0, From: 1, To: 256}.encode(),
		pullVotes: Votes{Tx: id, Round: 300, Link: testNetwork, State: accepted}.encode(),
		pullFinal: Final{Tx: id, Round: 300, Link: testNetwork}.encode(),
		pullSet:   appendBytes(nil, tag1Bytes, appendRange(nil, &setsync.Range{Digest: setsync.Fingerprint{}.Digest()})),
		pullPiece: encodePiece(manifest.Hash(), 1),
	}
	for p := range numPulls {
		v.Pulls[p.String()] = PullProtocol(testNetwork, p.String())
		response, err := answer(t.Context(), p, domain.PublicKey{}, requests[p], s)
		if err != nil {
			t.Fatal(err)
		}
		var in, out bytes.Buffer
		writeFrame(&in, requests[p])
		writeFrame(&out, response)
		v.Exchanges = append(v.Exchanges, exchangeVector{v.Pulls[p.String()], hex.EncodeToString(in.Bytes()), hex.EncodeToString(out.Bytes())})
	}
	for _, h := range []FinalHint{{Tx: id, Link: testNetwork}, {Tx: id, Round: 300, Link: testNetwork}} {
		var frame bytes.Buffer
		writeFrame(&frame, h.encode())
		v.Pushes = append(v.Pushes, pushVector{PushProtocol(testNetwork, "final"), hex.EncodeToString(frame.Bytes())})
	}
	return v
}

func TestVectors(t *testing.T) {
	got, err := json.MarshalIndent(computeVectors(t), "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	got = append(got, '\n')
	const file = "testdata/vectors.json"
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("vectors changed:\n%s", got)
	}
}
