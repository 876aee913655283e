/** An answer that is not the one hoped for: HTTP status, the registry's error code, and what to read. */
export class RegistryFault extends Error {
  readonly status: number;
  readonly errorCode: number;

  constructor(status: number, errorCode: number, message: string) {
    super(message);
    this.status = status;
    this.errorCode = errorCode;
  }
}

export const subjectNotFound = (subject: string): RegistryFault =>
  new RegistryFault(404, 40401, `Subject '${subject}' not found.`);

export const versionNotFound = (version: string | number): RegistryFault =>
  new RegistryFault(404, 40402, `Version ${version} not found.`);

export const schemaNotFound = (id?: string | number): RegistryFault =>
  new RegistryFault(404, 40403, id === undefined ? 'Schema not found' : `Schema ${id} not found`);
