//! The libraries that scripts have beside Lua's own: cjson, cmsgpack, bit, struct.

use crate::evaluates;

#[test]
fn errors_and_examples() {
    evaluates(
        r##"
        return cjson.encode({1,2,3,{a=1}})
        return cjson.encode({[1]=1,[100]=1})
        return cjson.decode('{"a":[1,2,{"b":null}]}').a[1]
        return cjson.decode('{a}')
        return cjson.decode('[1,2')
        return cjson.decode('')
        return cjson.decode('"\\u12"')
        return cjson.encode(function() end)
        return cjson.encode({[true]=1})
        return cjson.encode(1/0)
        return cjson.encode({a=0.1,b='x/"\n'})
        return tostring(cjson.decode('1e400'))
        return tostring(cjson.decode('0x10'))
        return tostring(cjson.decode('nan'))
        return cjson.decode(1,2)
        return cmsgpack.unpack(cmsgpack.pack({1,2,3}))
        return cmsgpack.pack({a=1})
        return cmsgpack.pack(1.5,-1,300,-200,2^40,-2^40,'x',true,false,nil)
        return cmsgpack.pack()
        return cmsgpack.unpack('\193')
        return cmsgpack.unpack('\221\255\255\255\255')
        return cmsgpack.unpack_limit('a',-1)
        return cmsgpack.unpack_one('a',5)
        return {cmsgpack.unpack_limit(cmsgpack.pack(1,2,3),2)}
        return {struct.unpack('>I2',struct.pack('>I2',513))}
        return struct.pack('z',1)
        return struct.size('!i')
        return struct.pack('>i33',1)
        return struct.unpack('c0','abc')
        return {struct.unpack('bc0','\3abc')}
        return struct.pack('i',nil)
        return struct.pack('!3i',1)
        return bit.tohex(65535,-4)
        return bit.band(1,'x')
        return bit.bxor(255,3,4)
        return bit.lshift(1,33)
        "##,
    );
}

#[test]
fn json() {
    evaluates(
        r##"
        return cjson.encode({})
        return cjson.encode({{}})
        return cjson.encode({[1]=1,[2]=2,[4]=4})
        return cjson.encode({[1]=1,[30]=2})
        return {cjson.encode_sparse_array(true)}
        return cjson.encode({[1]=1,[30]=2})
        return {cjson.encode_sparse_array(false,2,10)}
        return {cjson.encode_sparse_array('x')}
        return {cjson.encode_sparse_array(true,-1)}
        return cjson.encode_max_depth(0)
        return cjson.encode_max_depth(2)
        return cjson.encode({{{1}}})
        return cjson.encode_max_depth(1000)
        return cjson.decode_max_depth(2)
        return cjson.decode('[[[1]]]')
        return cjson.decode_max_depth(1000)
        return cjson.encode_number_precision(15)
        return cjson.encode_number_precision(3)
        return cjson.encode({1/3, 1e20, 100, 12345})
        return cjson.encode_number_precision(14)
        return cjson.encode({1/3, 1e20, 1e14, 1e13, -0.0, 1e-7, 123456.789})
        return cjson.encode_keep_buffer(false)
        return cjson.encode_keep_buffer(true)
        return cjson.encode_invalid_numbers('null')
        return cjson.encode({1/0,-1/0,0/0})
        return cjson.encode_invalid_numbers('on')
        return cjson.encode({1/0,-1/0,0/0})
        return cjson.encode_invalid_numbers('off')
        return cjson.encode_invalid_numbers('maybe')
        return cjson.decode_invalid_numbers(false)
        return cjson.decode('[nan]')
        return cjson.decode('[0x10]')
        return cjson.decode('[01]')
        return cjson.decode('[-]')
        return cjson.decode_invalid_numbers(true)
        return tostring(cjson.decode('[-inf]')[1])
        return tostring(cjson.decode('[0x10]')[1])
        return cjson.decode('[1,]')
        return cjson.decode('[1 2]')
        return cjson.decode('{"a" 1}')
        return cjson.decode('{"a":1,}')
        return cjson.decode('{1:1}')
        return cjson.decode('"abc')
        return cjson.decode('"\x"')
        return cjson.decode('"\ud83d\ude00"')
        return cjson.decode('"\ud83d"')
        return cjson.decode('"\ude00"')
        return cjson.decode('"\u00e9\u20ac\u0041"')
        return cjson.decode('tru')
        return cjson.decode('nul')
        return cjson.decode('[true,false,null]')
        return cjson.decode('1 2')
        return cjson.decode('@')
        return tostring(cjson.decode('null'))==tostring(cjson.null)
        return cjson.encode(cjson.null)
        return cjson.encode({a=cjson.null})
        return cjson.encode('a/b\\c"d')
        return cjson.encode('\0\1\31\127\200')
        return cjson.new().encode({1})
        return cjson._NAME .. cjson._VERSION
        return cjson.encode(1,2)
        return cjson.encode()
        return cjson.decode(nil)
        return cjson.decode({})
        return cjson.decode(12)
        "##,
    );
}

#[test]
fn message_pack() {
    evaluates(
        r##"
        return cmsgpack.pack(0,127,128,255,256,65535,65536,4294967295,4294967296,9007199254740992)
        return cmsgpack.pack(-1,-32,-33,-128,-129,-32768,-32769,-2147483648,-2147483649,-1e15)
        return cmsgpack.pack(0.5,0.1,1/0,-1/0,1e300)
        return cmsgpack.pack(('x'):rep(31),('x'):rep(32),('x'):rep(255),('x'):rep(256),('x'):rep(65536)):len()
        return cmsgpack.pack({},{1},{a=1},{1,nil,3},{[0]=1},{[1.5]=1})
        return cmsgpack.pack(function() end)
        return {cmsgpack.unpack(cmsgpack.pack(1,2,3))}
        return {cmsgpack.unpack_one(cmsgpack.pack(1,2,3))}
        return {cmsgpack.unpack_one(cmsgpack.pack(1,2,3),1)}
        return {cmsgpack.unpack_limit(cmsgpack.pack(1,2,3),2,1)}
        return {cmsgpack.unpack_limit(cmsgpack.pack(1,2,3),0)}
        return {cmsgpack.unpack('')}
        return cmsgpack.unpack()
        return cmsgpack.unpack({})
        return cmsgpack.unpack_limit('a')
        return cmsgpack.unpack_one('a',-1)
        return cmsgpack.unpack('\220')
        return cmsgpack.unpack('\220\0\1')
        return cmsgpack.unpack('\223\1\2')
        return cmsgpack.unpack('\219\255\255\255\255x')
        return cmsgpack.unpack('\223\255\255\255\255')
        return cmsgpack.unpack('\130\161a\1\161b')
        return cmsgpack.unpack('\207\255\255\255\255\255\255\255\255')
        return cmsgpack.unpack('\211\255\255\255\255\255\255\255\254')
        return tostring(cmsgpack.unpack('\202\63\128\0\0'))
        return cmsgpack._NAME .. cmsgpack._VERSION
        local a={} a.a=a return cmsgpack.pack(a):len()
        "##,
    );
}

#[test]
fn structures_and_bits() {
    evaluates(
        r##"
        return struct.pack('<i4>i4i8bBhHlL', 1,2,3,-4,5,-6,7,-8,9)
        return {struct.unpack('<i4>i4i8', struct.pack('<i4>i4i8', -1,-2,-3))}
        return struct.pack('!8bi8', 1, 2)
        return struct.pack('!4 b i8 !2 b i4', 1, 2, 3, 4)
        return {struct.unpack('!8bi8', struct.pack('!8bi8', 1, 2))}
        return struct.pack('fd', 0.5, 0.25)
        return struct.pack('ii', 1)
        return struct.pack('c', 'x', 'y') .. struct.pack('s')
        return struct.pack('<I8HL', 1e100, 1/0, -1/0)
        return struct.pack('<T', 0/0)
        return struct.pack('<LL', 2^63, 2^64)
        return tostring(struct.unpack('<i9', ('a'):rep(9)))
        return tostring(struct.unpack('>i9', ('\255'):rep(9)))
        return tostring(struct.unpack('>i16', ('\200'):rep(16)))
        return {struct.unpack('<fc0', '\0\0\96\97rest')}
        return {struct.unpack('<dc0', struct.pack('<d', -0.5) .. 'rest')}
        return struct.pack('>fd', 0.5, 0.25)
        return tostring(struct.unpack('>d', struct.pack('>d', 0.1)))
        return struct.pack('c3', 'abcdef')
        return struct.pack('c3', 'ab')
        return struct.pack('c0s', 'ab', 'cd')
        return struct.pack('xT', 3)
        return {struct.unpack('s', 'abc')}
        return {struct.unpack('sI2', 'abc\0\1\2')}
        return {struct.unpack('c2c0', 'abc')}
        return {struct.unpack('i4', 'abc')}
        return {struct.unpack('i4', 'abcdefgh', 3)}
        return {struct.unpack('i4', 'abcdefgh', 0)}
        return {struct.unpack('i4', 'abcdefgh', -5)}
        return {struct.unpack('i4', 'abcdefgh', 9007199254740992)}
        return {struct.size('i4'), struct.size('!4bi4'), struct.size('c10'), struct.size('bhilfd')}
        return struct.size('s')
        return struct.size('c0')
        return struct.size('i99999999999')
        return struct.pack('c2147483648', 'a')
        return struct.pack('!0b', 1)
        return struct.pack('i4', 'x')
        return struct.pack('i16', -1)
        return {struct.unpack('i16', struct.pack('i16', -1))}
        return struct.pack()
        return {bit.tobit(0xffffffff), bit.tobit(0xffffffff + 1), bit.tobit(2^40 + 1234)}
        return {bit.bnot(0), bit.bnot(-1), bit.bnot(0x12345678)}
        return {bit.bor(1,2,4), bit.band(0x12345678, 0xff), bit.bxor(0xa5a5f0f0, 0xaa55ff00)}
        return {bit.lshift(1,0), bit.lshift(1,31), bit.lshift(1,40), bit.rshift(256,8), bit.rshift(-256,8)}
        return {bit.arshift(256,8), bit.arshift(-256,8), bit.rol(0x12345678,12), bit.ror(0x12345678,12)}
        return {bit.bswap(0x12345678), bit.tohex(1), bit.tohex(-1), bit.tohex(-1,-8), bit.tohex(0x21,4)}
        return {bit.tohex(0x87654321,4), bit.tohex(1,0), bit.tohex(1,100), bit.tohex(1,-2147483648)}
        return bit.band()
        return bit.band('1','3')
        return bit.band(1.5, 3)
        return bit.tobit({})
        "##,
    );
}
