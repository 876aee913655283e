/** Errors as Node gives them: code, syscall and address. */

export function networkError(code: string, syscall: string, address?: string, port?: number): NodeJS.ErrnoException {
  const where = address === undefined ? '' : ` ${address}:${port}`;
  const error = new Error(`${syscall} ${code}${where}`);
  return Object.assign(error, { code, errno: -1, syscall, ...(address === undefined ? {} : { address, port }) });
}
