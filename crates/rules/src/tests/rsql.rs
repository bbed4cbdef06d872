//! RSQL becomes CEL, and what is wrong with it is told where it is.

use crate::Condition;

#[test]
fn rsql_is_translated() {
    let pairs = [
        ("type==robot", r#"device.type == "robot""#),
        ("type!=robot;version=lt=2.1.0", r#"device.type != "robot" && device.version < semver("2.1.0")"#),
        ("attribute.region=in=(eu,'us west')", r#"device.attr.region in ["eu", "us west"]"#),
        ("controllerAttributes.region=out=(eu,us)", r#"!(device.attr.region in ["eu", "us"])"#),
        ("attribute.slots==4", r#"device.attr.slots in [4, "4"]"#),
        ("attribute.slots=='4'", r#"device.attr.slots == "4""#),
        ("attribute.slots>=4.5", "device.attr.slots >= 4.5"),
        ("attribute.parked==true", r#"device.attr.parked in [true, "true"]"#),
        ("attribute.a_b!=x", r#"device.attr.a_b != "x""#),
        (
            "name==VIN*,id==*7,controllerId==*x*",
            r#"device.hardware_id.startsWith("VIN") || device.hardware_id.endsWith("7") || device.hardware_id.contains("x")"#,
        ),
        ("attribute.site==*", "has(device.attr.site)"),
        ("attribute.site!=*", "!has(device.attr.site)"),
        (r"name==a\*b", r#"device.hardware_id == "a*b""#),
        (r#"name=="a\"b'\*""#, r#"device.hardware_id == "a\"b'*""#),
        ("tag==canary and tag=out=(a,b)", r#""canary" in device.tags && !("a" in device.tags || "b" in device.tags)"#),
        (
            "(group==eu or group==us) and status==idle",
            r#"("eu" in device.groups || "us" in device.groups) && device.status == "idle""#,
        ),
        ("type==a,type==b;type==c", r#"device.type == "a" || device.type == "b" && device.type == "c""#),
        ("lastseen=lt=-2h", r#"device.last_seen < now - duration("2h")"#),
        ("lastControllerRequestAt<1767225600000", r#"device.last_seen < timestamp("2026-01-01T00:00:00Z")"#),
        ("createdat=ge=2026-01-01T01:00:00+01:00", r#"device.created_at >= timestamp("2026-01-01T00:00:00Z")"#),
        ("component.bms=ge=1.0.0-rc.1+x", r#"device.components["bms"].version >= semver("1.0.0-rc.1+x")"#),
        ("telemetry.battery=gt=40", "telemetry.battery > 40"),
        ("version=in=(1.0.0,1.1.0)", r#"device.version in [semver("1.0.0"), semver("1.1.0")]"#),
        (" ( ( type == robot ) ) ", r#"device.type == "robot""#),
        ("attribute.order==or;attribute.x==and", r#"device.attr.order == "or" && device.attr.x == "and""#),
    ];
    for (rsql, cel) in pairs {
        let condition = Condition::parse_rsql(rsql).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(condition.text(), cel, "{rsql}");
    }
}

#[test]
fn wrong_rsql_is_explained() {
    let wrong = [
        ("", "line 1, column 1: a field is expected here, such as type or attribute.region"),
        ("typ==robot", "line 1, column 1: typ: no such field (did you mean type?)"),
        ("region==eu", "line 1, column 1: region: no such field; an attribute of that name is attribute.region"),
        ("Region==eu", "line 1, column 1: Region: no such field"),
        ("metadata.a.b==eu", "line 1, column 1: metadata is not searched"),
        ("metadata.x==1", "line 1, column 1: metadata is not searched; if it is an attribute, write attribute.x"),
        ("type=robot", "line 1, column 5: a comparison is expected here: == != =lt= =le= =gt= =ge= =in= or =out="),
        ("type==", "line 1, column 7: a value is expected here; other than letters and digits stand in quotes"),
        ("type==a type==b", "line 1, column 9: ; or , is missing before this: they write and and or"),
        ("type=lt=a", "line 1, column 5: this field has no order: use ==, !=, =in= or =out="),
        ("version==1.*", "line 1, column 10: a version has no star: write version=ge=1.0.0;version=lt=2.0.0"),
        ("version==1.2", "line 1, column 10: \"1.2\" is no version: it has three numbers, such as 2.1.0 or 2.1.0-rc.1"),
        ("name==a*b", "line 1, column 7: a star stands at the beginning or the end only; a star itself is written \\*"),
        (
            "controllerAttributes.Region=out=(eu,us)",
            "line 1, column 1: no device can have the attribute \"Region\" (did you mean region?): its name has 1 to 63 \
             characters a-z, 0-9 or '_', begins with a letter and is no word of the language",
        ),
        (
            "tag!=Hold",
            "line 1, column 6: no device can have the tag \"Hold\" (did you mean hold?): its name has 1 to 63 characters \
             a-z, 0-9, '.', '_', ':' or '-' and begins with a letter or a digit",
        ),
        ("tag==a*", "line 1, column 6: a name of a tag or group has no star: name it whole"),
        ("type=in=a", "line 1, column 5: a list in brackets is expected: =in=(a,b)"),
        ("type==(a,b)", "line 1, column 5: a list is compared with =in= or =out="),
        ("type=in=(a,b", "line 1, column 9: this list is never closed"),
        ("(type==a", "line 1, column 1: this bracket is never closed"),
        ("type==a)", "line 1, column 8: this bracket was never opened"),
        ("type=='a", "line 1, column 7: this text has no closing '"),
        (
            "status==in_sync",
            "line 1, column 9: a device has no such status: it is one of idle, updating, failed, success",
        ),
        ("attribute.x=lt=true", "line 1, column 16: true and false have no order: use == or !="),
        (
            "attribute.x==12345678901234567890",
            "line 1, column 14: this would be rounded, as an integer beyond 9007199254740992 may be: keep it in quotes, \
             as text",
        ),
    ];
    for (rsql, first_line) in wrong {
        let error = Condition::parse_rsql(rsql).expect_err(rsql).to_string();
        assert_eq!(error.lines().next(), Some(first_line), "{rsql}");
    }
}
