/** The modes that BACKEND_MODE may name. */
export { MODES, type Mode } from '../../cutover/mode.ts';
