/** As openapi-typescript makes it. */
export interface paths {
  "/payments": {
    post: {
      requestBody: { content: { "application/json": { order: string } } };
      responses: { 201: { content: { "application/json": { paid: boolean } } } };
    };
  };
}
