// oidc-provider's storage: maps in memory. Clients come from the configuration, not from here.

export class Store {
  constructor(clientMetadata) {
    this.models = new Map();
    this.clientMetadata = clientMetadata;
    this.adapter = (model) => new Adapter(this, model);
  }

  of(model) {
    if (!this.models.has(model)) this.models.set(model, new Map());
    return this.models.get(model);
  }
}

class Adapter {
  constructor(store, model) {
    this.store = store;
    this.model = model;
    this.items = store.of(model);
  }

  async upsert(id, payload, expiresIn) {
    this.items.set(id, { payload, expires: expiresIn ? Date.now() + expiresIn * 1000 : Infinity });
  }

  async find(id) {
    if (this.model === 'Client') return this.store.clientMetadata(id);
    const item = this.items.get(id);
    return item && item.expires > Date.now() ? item.payload : undefined;
  }

  async findByUid(uid) {
    return [...this.items.values()].find(({ payload }) => payload.uid === uid)?.payload;
  }

  async findByUserCode() {
    return undefined;
  }

  async consume(id) {
    const item = this.items.get(id);
    if (item) item.payload.consumed = Math.floor(Date.now() / 1000);
  }

  async destroy(id) {
    this.items.delete(id);
  }

  async revokeByGrantId(grantId) {
    for (const items of this.store.models.values()) {
      for (const [id, { payload }] of items) if (payload.grantId === grantId) items.delete(id);
    }
  }
}
